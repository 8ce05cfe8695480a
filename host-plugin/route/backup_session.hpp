#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "route/backup_route.hpp"
#include "route/decide.hpp"
#include "route/transfer.hpp"
#include "route/verdict.hpp"

/// What a backup holds outside its own process, and the keeper that watches over it.
namespace stillpoint::route {

/// One backup of a VM at a time on this host.
/// @errors busy, id "backup.running"
[[nodiscard]] Result<env::FileLock> lock_vm(const env::Path& run_folder,
                                            const hypervisor::VmInfo& vm);

/// What a session is about.
struct SessionPlan {
    const Decisions& decisions;
    const vault::PointId& point_id;
    const env::FileLock& lock;  // of the VM
};

/// The job folder, the planned snapshot and its keeper. The keeper is told what to end before
/// anything exists that would have to be ended. @threads one at a time
class BackupSession {
public:
    /// @param cancel cancelled by the session when the keeper dies: a backup without one must stop
    static Result<std::unique_ptr<BackupSession>> open(const BackupServices& services,
                                                       const BackupOptions& options,
                                                       const SessionPlan& plan,
                                                       const env::CancelToken& cancel);
    BackupSession(const BackupSession&) = delete;
    BackupSession& operator=(const BackupSession&) = delete;
    ~BackupSession();

    [[nodiscard]] hypervisor::Snapshot& snapshot() { return *snapshot_; }
    /// To be called right before the point is published: from then on nobody but the next run may
    /// judge the new bitmaps. @errors io, id "keeper.dead": publish nothing
    Status about_to_publish();
    /// Ends the snapshot, dismisses the keeper, removes the job folder. What fails is logged, left
    /// to the keeper, and waited for as long as I6 promises.
    Status end(hypervisor::Snapshot::Outcome outcome);
    /// The error to report: the keeper's death when that is what cancelled the work.
    [[nodiscard]] Error cause(Error error);

private:
    BackupSession(const BackupServices& services, const BackupOptions& options,
                  const env::CancelToken& cancel);
    Status start(const SessionPlan& plan);
    Status dismiss();
    Error hand_over(Error error);
    void beat(const std::stop_token& stop);

    const BackupServices& services_;
    const BackupOptions& options_;
    env::CancelToken cancel_;
    env::Path folder_;
    std::unique_ptr<keeper::KeeperHandle> keeper_;
    std::unique_ptr<hypervisor::Snapshot> snapshot_;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    std::optional<Error> keeper_error_;  // guarded by mutex_
    std::jthread heart_;                 // joined first: uses all above
};

}  // namespace stillpoint::route
