#pragma once
#include <deque>
#include <string>
#include <string_view>

#include "os/fd.hpp"

namespace stillpoint::linux_guest {

enum class Severity { debug, info, warning, error };

/// Log lines to one descriptor, never while something may be frozen: who writes into a frozen
/// filesystem, or to a logger that does, hangs. Held lines are written after the thaw.
/// @threads one at a time
class GuestLog {
public:
    /// @param target where complete lines go; not owned
    GuestLog(int target, Severity least) : target_(target), least_(least) {}
    void line(Severity severity, std::string_view text);
    /// From here on lines gather in memory; should there be more than lines_held_max, the older
    /// ones are counted and the count is told.
    void hold() { held_ = true; }
    /// Writes what was held; from here on lines are written at once.
    void release();

private:
    [[nodiscard]] bool write(const std::string& text) const;
    void flush();
    int target_;
    Severity least_;
    bool held_ = false;
    std::size_t dropped_ = 0;
    std::deque<std::string> lines_;
};

inline constexpr std::size_t lines_held_max = 2000;     // a freeze of 30 s says a few dozen
inline constexpr std::size_t log_line_bytes_max = 900;  // the kernel log takes at most 1,000 or so

/// @return the descriptor lines go to: "stderr", "kmsg" or a file, which is appended to.
/// @errors of opening it
[[nodiscard]] Result<os::UniqueFd> open_log(const std::string& where);

}  // namespace stillpoint::linux_guest
