#include "service/guest_log.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace stillpoint::linux_guest {
namespace {

constexpr int full_ms_max = 100;  // a logger that does not read holds nobody up

// The prefixes that journald and the kernel log understand (sd-daemon(3), kmsg).
constexpr std::string_view prefix_of(Severity severity) {
    switch (severity) {
        case Severity::debug:
            return "<7>";
        case Severity::info:
            return "<6>";
        case Severity::warning:
            return "<4>";
        case Severity::error:
            return "<3>";
    }
    return "<6>";
}

/// The kernel's log takes what it is given at once and never says that it would: poll(2) knows only
/// of reading it. Seen on Linux 6.1; every line waited, and none was written.
bool is_kernel_log(int fd) {
    constexpr unsigned memory_devices = 1;
    constexpr unsigned kmsg = 11;
    struct stat facts {};
    return ::fstat(fd, &facts) == 0 && S_ISCHR(facts.st_mode) &&
           facts.st_rdev == ::makedev(memory_devices, kmsg);
}

bool has_room(int fd) {
    // Asked first: a pipe or socket nobody reads must hold nobody up, blocking or not.
    pollfd room{fd, POLLOUT, 0};
    return is_kernel_log(fd) || ::poll(&room, 1, full_ms_max) != 0;
}

}  // namespace

void GuestLog::line(Severity severity, std::string_view text) {
    if (severity < least_) return;
    std::string line{prefix_of(severity)};
    line += "stillpoint-guest: ";
    line += text.substr(0, log_line_bytes_max);
    // One event, one line: hook output and device names may hold anything.
    std::ranges::replace_if(
        line, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
    line += '\n';
    lines_.push_back(std::move(line));
    if (lines_.size() > lines_held_max) {
        lines_.pop_front();
        ++dropped_;
    }
    if (!held_) flush();
}

void GuestLog::release() {
    held_ = false;
    flush();
}

/// Writes line by line; one that the target does not take now stays for the next time.
void GuestLog::flush() {
    while (!lines_.empty() && write(lines_.front())) lines_.pop_front();
    if (dropped_ == 0 || !lines_.empty()) return;
    const std::size_t dropped = std::exchange(dropped_, 0);
    line(Severity::warning, std::to_string(dropped) + " older lines were dropped");
}

/// @return false: the target is full and may take it later
bool GuestLog::write(const std::string& text) const {
    std::size_t written = 0;
    while (written < text.size()) {
        if (!has_room(target_)) return written > 0;
        const ssize_t got = ::write(target_, text.data() + written, text.size() - written);
        if (got > 0) written += static_cast<std::size_t>(got);
        if (got >= 0 || errno == EINTR) continue;
        return errno != EAGAIN || written > 0;  // a target that is gone takes nothing
    }
    return true;
}

Result<os::UniqueFd> open_log(const std::string& where) {
    const bool append = where != "stderr" && where != "kmsg";
    const std::string path = where == "kmsg" ? "/dev/kmsg" : where;
    os::UniqueFd target{where == "stderr" ? ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)
                        : append
                            ? ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)
                            : ::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!target.valid()) return fail(os::os_error("open " + path, errno));
    return target;
}

}  // namespace stillpoint::linux_guest
