#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>

#include "env/clock.hpp"
#include "env/files.hpp"
#include "serialization/value.hpp"

/// The process that cleans up when the owner of a backup dies or hangs (I6, DESIGN section 7).
namespace stillpoint::keeper {

/// What the owner tells its keeper on the pipe, as JSON lines:
/// {"watch": {…snapshot's keeper_document…, "owner_pid": n, "job_folder": "…", "vm_lock": "…",
///            "stall_ms": n, "patience_ms": n}, "thread": id}
///                a later one replaces the earlier; answered by {"watching": true}
///                "undecided": true in it asks for the new bitmaps to be dropped as well
/// {"publishing": true}  the point may be durable from now on: the new bitmaps are for the next run
///                to judge; answered likewise, and the owner publishes nothing before the answer
/// {"alive": n, "thread": id}  at least every heartbeat_interval; the thread is the one that
///                speaks, and what is looked at when nothing more is heard
/// {"done": true} everything was ended by the owner: the keeper leaves without doing anything
/// Anything that is no JSON object ends the watch as the owner's death would, without killing it.
inline constexpr env::Nanoseconds heartbeat_interval = std::chrono::seconds{1};
/// Of the job folder, which the keeper makes if nobody has: QEMU's user passes through it to what
/// lies inside with an owner and mode of its own.
inline constexpr mode_t job_folder_mode = 0711;
/// An owner silent for that long hangs (a document's "stall_ms" sets another), unless it is only
/// starved of processor time: see StallJudge.
inline constexpr env::Nanoseconds stall_default = 3 * heartbeat_interval;
/// From the owner's death to when it should be done (I6: nothing left 10 s later; the rest is for
/// the folder and for noticing). An owner that lives waits no longer for its keeper.
inline constexpr env::Nanoseconds clean_up_budget = std::chrono::seconds{9};
/// What the keeper goes on for when that was not enough, because libvirtd is restarted or QEMU
/// hangs (a document's "patience_ms" sets another): a day, in which somebody should have looked.
inline constexpr env::Nanoseconds patience_default = std::chrono::hours{24};
/// Between two late attempts, at most: ten seconds after libvirtd's return nothing is left.
inline constexpr env::Nanoseconds late_pause_max = std::chrono::seconds{5};
inline constexpr std::size_t line_bytes_max = 1u << 20;  // a VM with 1,000 disks stays below

/// What an owner knows of its keeper when it has waited long enough.
enum class Farewell {
    cleaned_up,
    failed,   // something is left, and nobody tries any more
    goes_on,  // and tells in the job folder's keeper.log how
};

/// The owner's end. Spawned before any job exists; if it dies the backup aborts.
/// Destroyed without done(), it hands over; the owner is not killed for that.
/// @threads beat() any; others one at a time
class KeeperHandle {
public:
    virtual ~KeeperHandle() = default;
    /// Returns when the keeper has confirmed. "owner_pid" is added where it is missing.
    /// @errors io, id "keeper.dead": abort the backup
    virtual Status watch(const serialization::Value& document) = 0;
    /// Before the point is published, with the same confirmation: a keeper that cleans up already
    /// gives none, and then nothing may be published.
    /// @errors io, id "keeper.dead"
    virtual Status publishing() = 0;
    /// May be called as often as wanted, also beside and after done(): what is more than enough is
    /// not sent.
    /// @errors io, id "keeper.dead"
    virtual Status beat() = 0;
    /// The owner cleaned up itself. Waits for the keeper's end.
    virtual Status done() = 0;
    /// Leaves to the keeper what the owner could not end, and waits for it as long as I6 promises
    /// (clean_up_budget and a bit). The last call.
    virtual Farewell hand_over() = 0;
    [[nodiscard]] virtual pid_t pid() const = 0;
};

/// Starts `executable --pipe N` in a session of its own.
/// @errors not_found, denied, io: it could not be started
[[nodiscard]] Result<std::unique_ptr<KeeperHandle>> spawn_keeper(const env::Path& executable,
                                                                 const env::Clock& clock);

/// A document's member, true until the owner is about to publish.
inline constexpr const char* undecided = "undecided";

/// Ends one session as its driver knows how, and nothing else; given by the composition root.
/// Called again until it succeeds or the keeper's patience is over.
using CleanUp = std::function<Status(const serialization::Value& document, const env::Deadline&)>;

/// The keeper's main loop: reads the pipe until done, end of file, or a missed heartbeat; then
/// kills a hung owner, cleans up and removes the job folder. After clean_up_budget it tries only
/// while no newer backup holds "vm_lock": that one ends the dead one's job itself. What it does is
/// told on stderr, from the first watch on in job_folder/keeper.log (which stays, with the folder,
/// where cleaning up failed).
/// @return exit code: 0 done or cleaned up, 1 something was left
[[nodiscard]] int run_keeper(int pipe_fd, const CleanUp& clean_up, const env::Clock& clock);

/// The main function of a keeper program: arguments, env::leave_starter, run_keeper.
[[nodiscard]] int keeper_main(int argc, char** argv, const CleanUp& clean_up);

}  // namespace stillpoint::keeper
