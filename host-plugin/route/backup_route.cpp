#include "route/backup_route.hpp"

#include "env/random.hpp"
#include "route/backup_session.hpp"
#include "route/caretaker.hpp"
#include "route/configuration.hpp"
#include "route/disk_account.hpp"

namespace stillpoint::route {
namespace {

/// One backup from its lock to its report. Members are declared in the order in which they are
/// acquired, so that an early return gives them back in reverse.
class BackupJob {
public:
    BackupJob(const BackupServices& services, const BackupOptions& options,
              const env::CancelToken& cancel)
        : services_(services), options_(options), cancel_(cancel.child()) {}

    Result<serialization::PointReport> run() {
        SP_ASSIGN(const hypervisor::VmInfo vm, look());
        SP_ASSIGN(const env::FileLock lock, lock_vm(options_.run_folder, vm));
        SP_TRY(decide(vm));
        SP_ASSIGN(auto session,
                  BackupSession::open(services_, options_, {decisions_, point_.id, lock}, cancel_));
        auto captured = capture(vm, *session);
        auto published = captured ? ship(*session) : Status{fail(captured.error())};
        if (!published) published = fail(session->snapshot().explain(published.error()));
        const auto outcome = published ? hypervisor::Snapshot::Outcome::published
                                       : hypervisor::Snapshot::Outcome::failed;
        const Status ended = session->end(outcome);
        // The guest's answer may take a minute, in which its writes should cost nothing any more.
        tell_guest(vm, published);
        if (!published) return fail(session->cause(published.error()));
        if (!ended) warn_late(ended.error());
        return report_of(point_, document_,
                         run_->stored_total_bytes() - document_.stored_before_point);
    }

private:
    Result<hypervisor::VmInfo> look() {
        return services_.vm.inspect(within(options_.snapshot_budget));
    }

    Status decide(const hypervisor::VmInfo& vm) {
        point_.id = env::uuid7(services_.clock);
        point_.vm_name = vm.name;
        // Before the points are read: a parent that is there now stays whole until this run ends,
        // even if it is forgotten meanwhile.
        SP_ASSIGN(run_, services_.vault.begin_run(point_.id));
        SP_ASSIGN(const vault::PointList list, services_.vault.point_list());
        for (const vault::UnreadablePoint& point : list.unreadable) {
            warn({"point.unreadable",
                  "a recovery point, perhaps of this VM, cannot be read: " + point.text});
        }
        std::vector<Parent> history = find_history(vm, list.points);
        point_.vm_uuid = uuid_of(vm, history);
        document_.uuid_known = vm.uuid_known || !point_.vm_uuid.empty();
        SP_ASSIGN(decisions_,
                  decide_disks({.vm = vm,
                                .history = std::move(history),
                                .vault_short_id = services_.vault.short_id(),
                                .point_id = point_.id,
                                .wanted_disks = options_.disks,
                                .force_full = options_.full ? ForceFull::yes : ForceFull::no,
                                .compare = options_.compare,
                                .now_ns = services_.clock.wall().count()}));
        if (!decisions_.orphans.empty()) {
            log(Severity::info, "removing dirty bitmaps that belong to no recovery point");
            SP_TRY(services_.vm.remove_bitmaps(decisions_.orphans, within(options_.end_budget)));
        }
        return cancel_.check();
    }

    /// The snapshot phase: the guest is still from freeze() until thaw().
    Status capture(const hypervisor::VmInfo& vm, BackupSession& session) {
        services_.reporter.progress({.phase = "snapshot", .disk = {}, .text = "preparing"});
        StillPoint still{services_, options_.still_point, cancel_};
        const auto writes = session.snapshot().guest_writes(within(options_.snapshot_budget));
        SP_TRY(session.snapshot().prepare(within(options_.snapshot_budget), cancel_));
        if (vm.state != hypervisor::VmState::shut_off) still.prepare(vm, point_.id);
        if (writes) learn_usual(session, *writes);
        SP_TRY(cancel_.check());
        SP_TRY(heed_refusal(still));
        still.freeze();
        const auto times = session.snapshot().take(within(options_.snapshot_budget));
        still.thaw(times ? StillPoint::Snapshot::taken : StillPoint::Snapshot::failed);
        if (times) configuration_ = take_configuration(services_, vm, times->wall, cancel_);
        // The post hooks run now, not after the transfer: a database must not wait hours in its
        // backup mode. Their failure is an alert and does not lower the level.
        still.finish(times ? StillPoint::Outcome::success : StillPoint::Outcome::failure);
        if (!times) return fail(in_step("taking the snapshot", times.error()));
        owes_complete_ = still.owes_complete();
        retry_later_ = still.conversation().retry_later;
        return record(vm, still.conversation(), *times);
    }

    void tell_guest(const hypervisor::VmInfo& vm, const Status& published) {
        if (!owes_complete_) return;
        const serialization::Complete word{point_.id, published.has_value()};
        for (auto& alert : complete_guest(services_, options_.still_point, vm, word)) {
            warn(std::move(alert));
        }
    }

    /// A hook whose failure is to be the backup's. The guest has undone what its hooks did.
    static Status heed_refusal(StillPoint& still) {
        const Conversation& said = still.conversation();
        const std::string refusal = quiesce::refusal_of(said.prepared, said.job_id);
        if (refusal.empty()) return {};
        still.finish(StillPoint::Outcome::failure);
        return fail(Errc::refused, "hook.refused",
                    "the guest allows no recovery point without its application: " + refusal,
                    "repair what the hook names, or give it on-failure=\"fallback\"");
    }

    Status record(const hypervisor::VmInfo& vm, const Conversation& conversation,
                  const hypervisor::SnapshotTimes& times) {
        auto verdict = judge(conversation, times, vm);
        document_.made_by = STILLPOINT_VERSION;
        document_.driver = options_.driver;
        document_.definition = configuration_.definition;
        document_.time_ns = times.wall.count();
        document_.level = verdict.level;
        document_.asked = verdict.asked;
        document_.partial = verdict.partial;
        document_.uncovered = std::move(verdict.uncovered);
        document_.frozen_ns = verdict.frozen_ns;
        document_.snapshot_ns = (times.after - times.before).count();
        if (times.paused) document_.paused_ns = times.paused->count();
        document_.evidence = std::move(verdict.evidence);
        for (auto& warning : verdict.warnings) document_.warnings.push_back(std::move(warning));
        for (auto& warning : configuration_.warnings) warn(std::move(warning));
        document_.evidence.push_back({.kind = serialization::EvidenceKind::host,
                                      .name = times.mode,
                                      .type = {},
                                      .quiesced = true,
                                      .duration_ns = document_.snapshot_ns,
                                      .note = times.mode_reason});
        note_left_out();
        if (document_.level < options_.require) return below_required();
        return {};
    }

    void note_left_out() {
        for (const std::string& left_out : decisions_.left_out) {
            document_.evidence.push_back({.kind = serialization::EvidenceKind::disk,
                                          .name = left_out.substr(0, left_out.find(':')),
                                          .type = {},
                                          .note = "left out: " + left_out});
        }
        for (const std::string& skipped : decisions_.skipped) {
            document_.warnings.push_back(
                {"disk.skipped", "a disk is not in this point: " + skipped});
        }
    }

    [[nodiscard]] Status below_required() const {
        std::string why;
        for (const auto& warning : document_.warnings) why += "; " + warning.text;
        // "busy": a whole new backup may do better, by the guest's word.
        const Errc code = retry_later_ ? Errc::busy : Errc::refused;
        const char* remedy = retry_later_ ? "try again in 10 minutes, or ask for less"
                                          : "repair what is named, or ask for less";
        return fail(code, "backup.level",
                    "the snapshot is only " + std::string(name_of(document_.level)) +
                        "-consistent, --require asks for " +
                        std::string(name_of(options_.require)) + why,
                    remedy);
    }

    /// The transfer phase and the publication, in the order of I1.
    Status ship(BackupSession& session) {
        const env::Nanoseconds start = services_.clock.monotonic();
        SP_ASSIGN(const auto exports,
                  session.snapshot().open_exports(within(options_.snapshot_budget)));
        SP_ASSIGN(const auto transfers, transfer(session, exports));
        SP_TRY(session.snapshot().prove_alive());
        // A store may take its time from here on; the guest shall not pay for it. What fails is
        // repeated, and reported, when the session ends.
        (void)session.snapshot().let_go(within(options_.end_budget));
        services_.reporter.progress({.phase = "publish", .disk = {}, .text = {}});
        describe_disks(transfers);
        SP_TRY(add_configuration());
        SP_TRY(run_->flush());
        document_.transfer_ns = (services_.clock.monotonic() - start).count();
        document_.stored_before_point = run_->stored_total_bytes();
        point_.document = encode_point_document(document_);
        SP_TRY(cancel_.check());
        log(Severity::debug, "publishing");
        SP_TRY(session.about_to_publish());
        return run_->publish(point_);
    }

    Result<std::vector<DiskTransfer>> transfer(BackupSession& session,
                                               const std::vector<hypervisor::DiskExport>& exports) {
        env::CancelToken reading = cancel_.child();
        SP_ASSIGN(const auto caretaker,
                  Caretaker::start(services_, session.snapshot(),
                                   Governor{usual_write_, options_.write_latency_max}, reading));
        auto transfers = transfer_disks(
            services_, {.disks = decisions_.disks, .exports = exports, .audit = options_.audit},
            *run_, reading);
        if (const auto given_up = caretaker->end()) return fail(*given_up);
        note_slowness(caretaker->slowed());
        if (transfers || transfers.error().code == Errc::cancelled) return transfers;
        // A reader only sees its connection end; the snapshot may know why.
        const Status alive = session.snapshot().prove_alive();
        if (!alive && alive.error().id == "snapshot.broken") return fail(alive.error());
        return transfers;
    }

    void note_slowness(const std::string& how) {
        if (how.empty()) return;
        log(Severity::info, how);
        document_.evidence.push_back({.kind = serialization::EvidenceKind::host,
                                      .name = "reading",
                                      .type = {},
                                      .quiesced = false,
                                      .note = how});
    }

    /// What a write of the guest takes without us: lately if it wrote enough, else in its life.
    void learn_usual(BackupSession& session, const hypervisor::GuestWrites& before) {
        const auto now = session.snapshot().guest_writes(within(options_.snapshot_budget));
        if (!now) return;
        usual_write_ = Governor::mean(before, *now);
        if (!usual_write_) usual_write_ = Governor::mean({}, *now);
    }

    void describe_disks(const std::vector<DiskTransfer>& transfers) {
        for (std::size_t i = 0; i < transfers.size(); ++i) {
            const DiskDecision& decision = decisions_.disks[i];
            point_.disks.push_back(transfers[i].root);
            document_.disks.push_back(describe_disk(decision, transfers[i], document_.time_ns));
            document_.parent = std::max(document_.parent, document_.disks.back().parent);
            for (auto& alert : judge_audit(decision, transfers[i])) warn(std::move(alert));
        }
    }

    /// After the disks: their names come first among the point's roots.
    Status add_configuration() {
        SP_ASSIGN(auto roots,
                  store_configuration(*run_, configuration_.files, services_.vault.chunk_bytes()));
        for (vault::DiskRoot& root : roots) point_.disks.push_back(std::move(root));
        for (ConfigurationFile& file : configuration_.files) {
            document_.configuration.push_back(std::move(file.document));
        }
        return {};
    }

    /// The point is durable: what fails now is for the next run to tidy, and for this one to say.
    void warn_late(const Error& error) {
        document_.warnings.push_back({error.id, "ending the snapshot: " + error.text});
    }

    /// For the log and for the point.
    void warn(serialization::Warning warning) {
        log(Severity::warning, warning.text);
        document_.warnings.push_back(std::move(warning));
    }
    void log(Severity severity, const std::string& line) { services_.reporter.log(severity, line); }
    [[nodiscard]] env::Deadline within(env::Nanoseconds budget) const {
        return {services_.clock, budget};
    }

    const BackupServices& services_;
    const BackupOptions& options_;
    env::CancelToken cancel_;
    vault::Point point_;
    Decisions decisions_;
    std::unique_ptr<vault::Run> run_;
    PointDocument document_;
    TakenConfiguration configuration_;
    bool owes_complete_ = false;
    bool retry_later_ = false;
    std::optional<env::Nanoseconds> usual_write_;  // of the guest, before the snapshot
};

}  // namespace

Result<serialization::PointReport> run_backup(const BackupServices& services,
                                              const BackupOptions& options,
                                              const env::CancelToken& cancel) {
    return BackupJob{services, options, cancel}.run();
}

}  // namespace stillpoint::route
