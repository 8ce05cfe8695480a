#include "route/backup_session.hpp"

#include <unistd.h>

#include <algorithm>

namespace stillpoint::route {
namespace {

/// A label may hold anything; a lock's file name must not.
std::string file_safe(const std::string& text) {
    std::string safe;
    for (const char c : text) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                           (c >= 'A' && c <= 'Z') || c == '-' || c == '.';
        safe += plain ? c : '_';
    }
    return safe;
}

}  // namespace

Result<env::FileLock> lock_vm(const env::Path& run_folder, const hypervisor::VmInfo& vm) {
    SP_TRY(env::make_folders(run_folder, 0755));
    const std::string key = vm.uuid.empty() ? "label-" + file_safe(vm.name) : vm.uuid;
    auto lock = env::FileLock::take(run_folder / ("vm-" + key + ".lock"));
    if (!lock && lock.error().code == Errc::busy) {
        return fail(Errc::busy, "backup.running",
                    "another backup of VM " + vm.name +
                        ", or the clean-up after one, is running on this host",
                    "wait until it has finished");
    }
    return lock;
}

Result<std::unique_ptr<BackupSession>> BackupSession::open(const BackupServices& services,
                                                           const BackupOptions& options,
                                                           const SessionPlan& plan,
                                                           const env::CancelToken& cancel) {
    std::unique_ptr<BackupSession> session{new BackupSession{services, options, cancel}};
    SP_TRY(session->start(plan));
    return session;
}

BackupSession::BackupSession(const BackupServices& services, const BackupOptions& options,
                             const env::CancelToken& cancel)
    : services_(services), options_(options), cancel_(cancel) {}

Status BackupSession::start(const SessionPlan& session) {
    SP_ASSIGN(keeper_, services_.spawn_keeper());
    // The random half of the id names the job: sockets below it must stay short (sun_path).
    folder_ = options_.jobs_folder / session.point_id.substr(session.point_id.size() / 2);
    hypervisor::SnapshotPlan plan{.disks = {},
                                  .job_folder = folder_,
                                  .point_id = session.point_id,
                                  .scratch_budget = options_.scratch_budget};
    for (const DiskDecision& disk : session.decisions.disks) {
        plan.disks.push_back({disk.disk.name, disk.parent_bitmap, disk.new_bitmap});
    }
    SP_ASSIGN(snapshot_, services_.vm.plan_snapshot(plan));
    serialization::Value document = snapshot_->keeper_document();
    if (serialization::Map* members = document.map()) {
        (*members)["owner_pid"] = static_cast<std::int64_t>(::getpid());
        (*members)["job_folder"] = folder_.string();
        (*members)["vm_lock"] = session.lock.path().string();
        (*members)[keeper::undecided] = true;
    }
    SP_TRY(keeper_->watch(document));
    // Not before somebody would remove it after a kill -9. The keeper has made it already.
    SP_TRY(env::make_folders(folder_, keeper::job_folder_mode));
    heart_ = std::jthread{[this](const std::stop_token& stop) { beat(stop); }};
    return {};
}

Status BackupSession::about_to_publish() {
    return keeper_->publishing();
}

void BackupSession::beat(const std::stop_token& stop) {
    std::unique_lock lock{mutex_};
    while (!stop.stop_requested() && !keeper_error_) {
        lock.unlock();
        const Status alive = keeper_->beat();
        lock.lock();
        if (!alive) {
            keeper_error_ = in_step("the keeper of this backup is gone", alive.error());
            cancel_.cancel();
            return;
        }
        wake_.wait_for(lock, stop, keeper::heartbeat_interval, [] { return false; });
    }
}

Status BackupSession::end(hypervisor::Snapshot::Outcome outcome) {
    if (!snapshot_) return {};
    Status ended = snapshot_->end(outcome, {services_.clock, options_.end_budget});
    snapshot_.reset();
    if (ended) return dismiss();
    heart_ = {};
    return fail(hand_over(ended.error()));
}

Error BackupSession::hand_over(Error error) {
    const std::string who = "its keeper (process " + std::to_string(keeper_->pid()) + ")";
    const std::string log = ": see " + (folder_ / "keeper.log").string();
    switch (keeper_->hand_over()) {
        case keeper::Farewell::cleaned_up:
            error.text += "; " + who + " has ended it";
            break;
        case keeper::Farewell::failed:
            error.text += "; " + who + " failed as well" + log;
            break;
        case keeper::Farewell::goes_on:
            error.text += "; " + who + " goes on trying" + log;
            break;
    }
    keeper_.reset();
    services_.reporter.log(Severity::warning, "ending the snapshot: " + error.text);
    return error;
}

Status BackupSession::dismiss() {
    // While the keeper still watches, so that a kill -9 in between leaves no folder either.
    std::error_code ignored;  // an empty folder that stays is harmless and named after the point
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
    // The heart beats on until the keeper has left: it would kill an owner that is slow here.
    Status dismissed = keeper_->done();
    heart_ = {};
    keeper_.reset();
    return dismissed;
}

Error BackupSession::cause(Error error) {
    const std::scoped_lock lock{mutex_};
    return keeper_error_ && error.code == Errc::cancelled ? *keeper_error_ : std::move(error);
}

BackupSession::~BackupSession() {
    // An early return: what was prepared is ended as failed. The first error is already on its way
    // to the user, and the keeper repeats what does not work here.
    if (snapshot_) (void)end(hypervisor::Snapshot::Outcome::failed);
    if (keeper_) (void)dismiss();
    heart_ = {};
}

}  // namespace stillpoint::route
