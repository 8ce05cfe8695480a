#pragma once
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "freeze/freeze_table.hpp"
#include "os/fd.hpp"

namespace stillpoint::linux_guest {

/// One byte each on the packet socket between the agent and a freezer; the answer is the same byte.
enum class FreezerOrder : char { sync = 'S', freeze = 'F', thaw = 'T' };

/// What a freezer works with, all of it opened before it was forked.
struct FreezerTools {
    int folder_fd = -1;         // of the filesystem
    int socket_fd = -1;         // to the agent
    int alive_fd = -1;          // write end of a pipe: its closing tells the rescuer of our death
    std::vector<int> stat_fds;  // /sys/dev/block/M:m/stat of its devices
};

/// The life of a freezer process: carries out orders on one filesystem until the agent is gone.
/// Single-threaded, so that its death is always visible; no allocation after it started to serve.
/// @return the process's exit code
int serve_freezer(FreezeTable& table, std::size_t row, const FreezerTools& tools) noexcept;

/// FITHAW. @return 0 or an errno; EINVAL: it was not frozen
[[nodiscard]] int thaw_once(int folder_fd) noexcept;

/// @return the number of completed writes in a block device's stat line; nullopt: not in that form
/// @source Linux Documentation/block/stat.rst: field 5 is "write I/Os", field 12 discards, 16
/// flushes
[[nodiscard]] std::optional<std::int64_t> writes_in_stat(std::string_view line) noexcept;

}  // namespace stillpoint::linux_guest
