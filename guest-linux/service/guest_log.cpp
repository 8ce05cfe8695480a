#include "service/guest_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace stillpoint::linux_guest {
namespace {

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
    if (!held_) return write(line);
    lines_.push_back(std::move(line));
    if (lines_.size() <= lines_held_max) return;
    lines_.pop_front();
    ++dropped_;
}

void GuestLog::release() {
    held_ = false;
    for (const std::string& line : lines_) write(line);
    lines_.clear();
    const std::size_t dropped = std::exchange(dropped_, 0);
    if (dropped > 0) line(Severity::warning, std::to_string(dropped) + " older lines were dropped");
}

void GuestLog::write(const std::string& text) const {
    while (::write(target_, text.data(), text.size()) < 0 && errno == EINTR) {
    }
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
