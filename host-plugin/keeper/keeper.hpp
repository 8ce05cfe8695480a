#pragma once
#include <functional>
#include <memory>

#include "env/clock.hpp"
#include "env/files.hpp"
#include "serialization/value.hpp"

/// The process that cleans up when the owner of a backup dies or hangs (I6, DESIGN section 7).
namespace stillpoint::keeper {

/// What the owner tells its keeper on the pipe, as JSON lines:
/// {"watch": {…snapshot's keeper_document…, "owner_pid": n, "job_folder": "…", "stall_ms": n}}
/// {"alive": n}    at least every heartbeat_interval
/// {"done": true}  everything was ended by the owner: the keeper leaves without doing anything
inline constexpr env::Nanoseconds heartbeat_interval = std::chrono::seconds{1};

/// The owner's end. Spawned before any job exists; if it dies the backup aborts.
/// @threads beat() any; others one at a time
class KeeperHandle {
public:
    virtual ~KeeperHandle() = default;
    /// @errors io, id "keeper.dead": abort the backup
    virtual Status watch(const serialization::Value& document) = 0;
    virtual Status beat() = 0;
    /// The owner cleaned up itself. Waits for the keeper's end.
    virtual Status done() = 0;
};

[[nodiscard]] Result<std::unique_ptr<KeeperHandle>> spawn_keeper(const env::Path& executable,
                                                                 const env::Clock& clock);

/// Ends one session as its driver knows how; given by the composition root.
using CleanUp = std::function<Status(const serialization::Value& document, const env::Deadline&)>;

/// The keeper's main loop: reads the pipe until done, end of file, or a missed heartbeat; then kills
/// a hung owner, cleans up and removes the job folder.
/// @return exit code
[[nodiscard]] int run_keeper(int pipe_fd, const CleanUp& clean_up, const env::Clock& clock);

}  // namespace stillpoint::keeper
