#include "os/process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <vector>

namespace stillpoint::os {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool may_lock_memory = false;  // the sanitizers' shadow would be faulted in: terabytes
#else
constexpr bool may_lock_memory = true;
#endif

constexpr int first_fd = 3;

bool close_range_except(const std::vector<int>& sorted) noexcept {
#ifdef SYS_close_range
    unsigned from = first_fd;
    for (const int fd : sorted) {
        const auto kept = static_cast<unsigned>(fd);
        if (kept > from && ::syscall(SYS_close_range, from, kept - 1, 0) != 0) return false;
        from = kept + 1;
    }
    return ::syscall(SYS_close_range, from, ~0U, 0) == 0;
#else
    return false;
#endif
}

void close_listed_except(const std::vector<int>& sorted) noexcept {
    DIR* const listing = ::opendir("/proc/self/fd");
    if (listing == nullptr) return;
    std::vector<int> open;
    for (const dirent* entry = ::readdir(listing); entry != nullptr; entry = ::readdir(listing)) {
        const int fd = std::atoi(entry->d_name);
        if (fd >= first_fd && fd != ::dirfd(listing)) open.push_back(fd);
    }
    ::closedir(listing);
    for (const int fd : open) {
        if (!std::binary_search(sorted.begin(), sorted.end(), fd)) ::close(fd);
    }
}

void detach_standard_streams() noexcept {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return;
    for (int fd = 0; fd < first_fd; ++fd) ::dup2(null, fd);
    if (null >= first_fd) ::close(null);
}

void ignore_stop_signals() noexcept {
    for (const int number : {SIGTERM, SIGHUP, SIGINT, SIGPIPE}) ::signal(number, SIG_IGN);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

Child& Child::operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
}

Child::~Child() {
    if (pid_ <= 0) return;
    kill();
    ::waitpid(pid_, nullptr, WNOHANG);
}

void Child::kill() const noexcept {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
}

Result<Child> fork_child(const char* name, std::span<const int> keep,
                         const std::function<int()>& body) {
    const pid_t pid = ::fork();
    if (pid < 0) return fail(os_error("start a child process", errno));
    if (pid > 0) return Child{pid};
    ::prctl(PR_SET_NAME, name);
    ignore_stop_signals();
    close_all_except(keep);
    detach_standard_streams();
    ::_exit(body());
}

void close_all_except(std::span<const int> keep) noexcept {
    std::vector<int> sorted{keep.begin(), keep.end()};
    std::erase_if(sorted, [](int fd) { return fd < first_fd; });
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    if (!close_range_except(sorted)) close_listed_except(sorted);
}

void reap_finished() noexcept {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
}

void harden(Memory memory) noexcept {
    const UniqueFd score{::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)};
    if (score.valid()) {
        [[maybe_unused]] const ssize_t done = ::write(score.get(), "-1000", 5);
    }
    if (memory == Memory::locked && may_lock_memory) ::mlockall(MCL_CURRENT | MCL_FUTURE);
}

HardenedScope::HardenedScope() {
    constexpr std::size_t file_bytes_max = 64;
    constexpr int keep_bytes = 8 << 20;          // freed heap stays ours up to this
    constexpr std::size_t reserve = 512u << 10;  // a window allocates a few KiB
    oom_score_ = read_file("/proc/self/oom_score_adj", file_bytes_max).value_or("");
    ::mallopt(M_TRIM_THRESHOLD, keep_bytes);
    ::mallopt(M_MMAP_THRESHOLD, keep_bytes);
    harden(Memory::locked);
    void* volatile touched = std::malloc(reserve);  // resident: future pages are locked as well
    std::free(touched);
}

HardenedScope::~HardenedScope() {
    if (may_lock_memory) ::munlockall();
    const UniqueFd score{::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)};
    if (!score.valid() || oom_score_.empty()) return;
    [[maybe_unused]] const ssize_t done =
        ::write(score.get(), oom_score_.data(), oom_score_.size());
}

UniqueFd make_cgroup(const char* name) {
    constexpr std::size_t table_bytes_max = 16u << 20;
    const std::string own = "\n" + read_file("/proc/self/cgroup", 64u << 10).value_or("");
    const std::string mounts = read_file("/proc/self/mounts", table_bytes_max).value_or("");
    const std::size_t path = own.find("\n0::/");
    const std::size_t type = mounts.find(" cgroup2 ");
    if (path == std::string::npos || type == std::string::npos) return {};
    const std::size_t line = mounts.rfind('\n', type) + 1;  // npos + 1 is the beginning
    const std::size_t from = mounts.find(' ', line) + 1;
    std::string folder = mounts.substr(from, type - from);
    const std::size_t begin = path + std::string_view("\n0::").size();
    folder += own.substr(begin, own.find('\n', begin) - begin);
    folder += folder.ends_with('/') ? name : std::string("/") + name;
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return {};
    return UniqueFd{::open((folder + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC)};
}

void join_cgroup(int procs_fd) noexcept {
    if (procs_fd < 0) return;
    [[maybe_unused]] const ssize_t done = ::write(procs_fd, "0", 1);
}

}  // namespace stillpoint::os
