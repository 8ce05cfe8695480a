#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace stillpoint::windows_guest {

enum class Severity { info, warning, error };

/// Log lines, never while writes may be held: who logs then waits for the disk, and the disk for
/// us. Held lines are written after the thaw.
/// @threads one at a time
class GuestLog {
public:
    using Write = std::function<void(Severity, const std::string&)>;
    explicit GuestLog(Write write) : write_(std::move(write)) { lines_.reserve(lines_held_max); }

    void line(Severity severity, std::string text) {
        if (!held_) return write_(severity, text);
        if (lines_.size() < lines_held_max) lines_.emplace_back(severity, std::move(text));
    }
    void hold() { held_ = true; }
    void release() {
        held_ = false;
        for (const auto& [severity, text] : lines_) write_(severity, text);
        lines_.clear();
    }

private:
    static constexpr std::size_t lines_held_max = 256;
    Write write_;
    bool held_ = false;
    std::vector<std::pair<Severity, std::string>> lines_;
};

}  // namespace stillpoint::windows_guest
