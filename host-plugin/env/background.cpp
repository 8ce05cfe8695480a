#include "env/background.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace stillpoint::env {
namespace {

Status replace_stream(int target, int source) {
    if (::dup2(source, target) < 0) return fail(os_error("redirect a stream", errno));
    return {};
}

void close_range_or_each(unsigned first, unsigned last) {
    if (first > last || ::syscall(SYS_close_range, first, last, 0) == 0) return;
    // Kernels before 5.9: what a process of ours can have open is far below this.
    for (unsigned fd = first; fd <= last && fd < 4096; ++fd) ::close(static_cast<int>(fd));
}

}  // namespace

Status leave_starter(int keep_fd) {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    for (const int signal : {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2}) {
        ::sigaction(signal, &ignore, nullptr);
    }
    const auto keep = static_cast<unsigned>(keep_fd);
    if (keep_fd < 3) return fail(Errc::invalid, "process.descriptor", "no descriptor to keep");
    close_range_or_each(3, keep - 1);
    close_range_or_each(keep + 1, ~0u);
    SP_ASSIGN(const UniqueFd null, open_file("/dev/null", O_RDWR));
    for (const int stream : {0, 1, 2}) SP_TRY(replace_stream(stream, null.get()));
    if (::chdir("/") != 0) return fail(os_error("change to /", errno));
    return {};
}

Status redirect_output(const Path& new_file) {
    SP_ASSIGN(const UniqueFd file,
              open_file(new_file, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW, 0600));
    SP_TRY(replace_stream(1, file.get()));
    return replace_stream(2, file.get());
}

pid_t starter_pid() {
    return ::getppid();
}

}  // namespace stillpoint::env
