#pragma once
#include <string>
#include <vector>

#include "freeze/freeze_lock.hpp"
#include "freeze/freeze_table.hpp"

namespace stillpoint::linux_guest {

struct Recovered {
    std::vector<std::string> thawed;    // filesystems that were still frozen
    std::vector<std::string> problems;  // for the log
};

/// Thaws what an agent that died left frozen, when its watchdog and rescuers died as well: reads
/// the state file, waits for its processes to end, then thaws what was frozen by them, and only
/// that. Without a state file nothing is thawed.
/// The caller must be the only agent, see lock_agent.
[[nodiscard]] Recovered recover_frozen(const FreezePlaces& places, os::Waiter& waiter);

}  // namespace stillpoint::linux_guest
