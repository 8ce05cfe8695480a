// Preloaded into a process, it lets a test move the process's wall clock while it runs: a lease
// ends although only seconds have passed. $STILLPOINT_TEST_CLOCK names a file with the nanoseconds
// to add (int64, changed at any time). Files that are synced get the moved time, too: the store's
// clock is the same. The monotonic clock and all waits stay what they are.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

const volatile std::int64_t* find_clock() {
    const char* path = std::getenv("STILLPOINT_TEST_CLOCK");
    const int fd = path != nullptr ? ::open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return nullptr;
    void* at = ::mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
    return at == MAP_FAILED ? nullptr : static_cast<const std::int64_t*>(at);
}

std::int64_t added_ns() {
    static const volatile std::int64_t* const added = find_clock();
    return added == nullptr ? 0 : *added;
}

void date(int fd) {
    struct stat about {};
    if (added_ns() == 0 || ::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) return;
    std::array<timespec, 2> times{};
    ::clock_gettime(CLOCK_REALTIME, times.data());
    times[1] = times[0];
    ::futimens(fd, times.data());
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t id, timespec* now) noexcept {
    const auto status = static_cast<int>(::syscall(SYS_clock_gettime, id, now));
    if (status == 0 && id == CLOCK_REALTIME) {
        const std::int64_t added = added_ns();
        const std::int64_t ns = now->tv_nsec + added % second_ns;
        now->tv_sec += added / second_ns + ns / second_ns;
        now->tv_nsec = ns % second_ns;
    }
    return status;
}

// What signs requests to an object store asks this one.
time_t time(time_t* into) noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    if (into != nullptr) *into = now.tv_sec;
    return now.tv_sec;
}

int fsync(int fd) {
    date(fd);
    return static_cast<int>(::syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
    date(fd);
    return static_cast<int>(::syscall(SYS_fdatasync, fd));
}

}  // extern "C"
