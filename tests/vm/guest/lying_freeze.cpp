// Runs a program in a world where freezing a filesystem "succeeds" and does nothing: the kernel
// answers FIFREEZE and FITHAW with 0 without looking at them. It stands for any freeze that is
// claimed and not done, and shows that the tests' proof of a freeze can fail.
//
//   lying_freeze PROGRAM [ARGUMENT]…
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdio>

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: lying_freeze PROGRAM [ARGUMENT]...\n", stderr);
        return 2;
    }
    constexpr auto number_at = offsetof(seccomp_data, nr);
    constexpr auto request_at = offsetof(seccomp_data, args[1]);  // low half: little-endian
    std::array<sock_filter, 7> program{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number_at),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, request_at),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(FIFREEZE), 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(FITHAW), 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0U),  // "success", nothing done
    }};
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        std::perror("lying_freeze: seccomp");
        return 1;
    }
    ::execv(argv[1], argv + 1);
    std::perror("lying_freeze: exec");
    return 1;
}
