#pragma once
#include <cstdint>
#include <vector>

#include "freeze/freeze_table.hpp"

namespace stillpoint::linux_guest {

inline constexpr std::chrono::seconds heartbeat_every{1};
inline constexpr int heartbeats_missed_max = 3;
/// With more filesystems than this freezers and rescuers do not lock their memory: each one's is
/// about half a megabyte.
inline constexpr std::size_t locked_processes_max = 32;

/// Packets from the agent to the watchdog. Silence, or the end of the socket, is an order too.
struct WatchdogOrder {
    enum class Kind : std::int64_t { arm, beat, abort };
    Kind kind = Kind::beat;
    std::int64_t deadline_ns = 0;  // with arm: boottime
};

/// From the watchdog to the agent, one byte each.
enum class WatchdogNews : char {
    ready = 'R',  // rescuers stand by
    armed = 'A',  // the timer runs
    fired = 'X',  // the rescuers were released; the table says why
};

/// What the watchdog works with, all of it opened before it was forked.
struct WatchdogTools {
    int socket_fd = -1;           // to the agent
    int log_fd = -1;              // /dev/kmsg; -1: none
    int lock_fd = -1;             // held until all is thawed; -1: none
    std::vector<int> folder_fds;  // one per row
    std::vector<int> alive_fds;   // read ends: end-of-file when that row's freezer is dead
};

/// The life of the watchdog process: an own session, one rescuer process per filesystem standing
/// by, a timer. It thaws what we froze when the deadline passes, when the agent dies, misses its
/// heartbeats or asks for it. The rescuers hang on a pipe that the watchdog holds open: if the
/// watchdog itself is killed while armed they act as well.
/// Nothing else is thawed: rows that were refused (a foreign freeze) are left alone.
/// @return the process's exit code
int serve_watchdog(FreezeTable& table, const WatchdogTools& tools) noexcept;

}  // namespace stillpoint::linux_guest
