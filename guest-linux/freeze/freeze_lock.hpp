#pragma once
#include <string>

#include "base/result.hpp"
#include "os/fd.hpp"
#include "os/waiter.hpp"

namespace stillpoint::linux_guest {

/// Where the freezes of one machine find each other; other folders in tests.
struct FreezePlaces {
    std::string folder = "/run/stillpoint";  // must be memory, not a disk
    /// The lock of a cloud's backup and recovery extensions, honoured where the folder exists.
    std::string cloud_folder = "/etc/azure/MicrosoftRecoverySvcsSafeFreezeLock";
    [[nodiscard]] std::string lock_file() const { return folder + "/freeze.lock"; }
    [[nodiscard]] std::string state_file() const { return folder + "/freeze.state"; }
    [[nodiscard]] std::string agent_file() const { return folder + "/agent.lock"; }
    [[nodiscard]] std::string cloud_file() const { return cloud_folder + "/SafeFreezeLockFile"; }
};

inline constexpr os::Nanoseconds freeze_lock_wait = std::chrono::seconds{3};

/// One freezer at a time. The lock belongs to everybody who has its descriptor open: watchdog,
/// rescuers and freezers inherit it, so it is free only when the last of them has ended and
/// nothing of that freeze can happen any more.
class FreezeLock {
public:
    /// Makes the folder where needed.
    /// @errors busy, id "freeze.locked": another program holds a lock longer than `wait` ·
    ///         those of opening the files · cancelled
    [[nodiscard]] static Result<FreezeLock> take(const FreezePlaces& places, os::Waiter& waiter,
                                                 os::Nanoseconds wait = freeze_lock_wait);
    [[nodiscard]] int fd() const { return own_.get(); }

private:
    os::UniqueFd own_;
    os::UniqueFd cloud_;  // a lock of this process alone, as its other users take it
};

/// For the life of a serving agent. @return nothing valid when another one serves
[[nodiscard]] os::UniqueFd lock_agent(const FreezePlaces& places);

/// Whether a folder is memory: then nothing written there can wait for a frozen filesystem.
[[nodiscard]] bool is_memory(const std::string& folder);

}  // namespace stillpoint::linux_guest
