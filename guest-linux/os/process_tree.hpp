#pragma once
#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace stillpoint::os {

/// A process told from a later one with the same number.
struct ProcessId {
    pid_t pid = 0;
    std::uint64_t start = 0;  // field 22 of /proc/PID/stat: clock ticks since boot
    friend auto operator<=>(const ProcessId&, const ProcessId&) = default;
};

/// Every living descendant of `roots` that is neither in `except` nor below one that is; the roots
/// do not count. Orphans are below this process where it is their reaper. Reads /proc/PID/stat
/// alone, which never hangs.
[[nodiscard]] std::vector<ProcessId> descendants(const std::vector<pid_t>& roots,
                                                 const std::set<ProcessId>& except);

/// Every process whose environment at its start held this line ("NAME=value").
[[nodiscard]] std::vector<ProcessId> processes_with(const std::string& variable);

/// @return whether it still runs
[[nodiscard]] bool alive(const ProcessId& process);

/// Makes this process the parent of descendants that lose theirs.
void become_reaper() noexcept;

}  // namespace stillpoint::os
