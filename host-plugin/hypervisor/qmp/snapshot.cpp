#include "hypervisor/qmp/snapshot.hpp"

#include <algorithm>
#include <array>

#include "hypervisor/qmp/actions.hpp"
#include "hypervisor/qmp/probe.hpp"
#include "hypervisor/qmp/teardown.hpp"

namespace stillpoint::hypervisor::qmp {
namespace {

using serialization::Map;
using serialization::Value;

// A guest that we stopped is resumed whatever the caller's deadline says.
constexpr env::Nanoseconds resume_budget = std::chrono::seconds{30};
constexpr env::Nanoseconds proof_budget = std::chrono::seconds{5};
constexpr env::Nanoseconds destructor_budget = std::chrono::seconds{10};

tl::unexpected<Error> broken(const std::string& why) {
    return fail(Errc::refused, "snapshot.broken", "the snapshot is broken: " + why,
                "nothing was published; start the backup again");
}

bool is_stop(const Event& event) {
    return event.name == "STOP";
}

bool is_migrating(const std::string& state) {
    constexpr std::array states{"inmigrate", "finish-migrate", "postmigrate",
                                "colo",      "restore-vm",     "save-vm"};
    return std::find(states.begin(), states.end(), state) != states.end();
}

}  // namespace

QmpSnapshot::QmpSnapshot(std::shared_ptr<QmpClient> client, Session session, env::Peer qemu,
                         const env::Clock& clock)
    : client_(std::move(client)),
      session_(std::move(session)),
      qemu_(std::move(qemu)),
      clock_(clock) {}

QmpSnapshot::~QmpSnapshot() {
    if (phase_ == Phase::planned || phase_ == Phase::ended) return;
    // Nobody is left to hear of a failure; the keeper does the same once more. What became of the
    // point decides about the bitmaps, also in this second attempt.
    (void)end(outcome_, env::Deadline{clock_, destructor_budget});
}

Value QmpSnapshot::keeper_document() const {
    return serialization::to_value(session_);
}

Status QmpSnapshot::prepare(const env::Deadline& deadline, const env::CancelToken& cancel) {
    if (phase_ != Phase::planned) {
        return fail(Errc::invalid, "snapshot.order", "prepare was called twice");
    }
    SP_TRY(check_run_state(deadline));
    SP_TRY(check_disks_unchanged(deadline));
    phase_ = Phase::prepared;  // from here on there may be something to end
    SP_ASSIGN(phase_file_, make_scratch(session_, qemu_, deadline, cancel));
    SP_ASSIGN(const ByteCount free, env::free_space(session_.folder));
    scratch_budget_.emplace(ScratchBudget::Room{free, scratch_configured_},
                            session_.mode == Mode::copy_before_write
                                ? ScratchBudget::Headroom::none
                                : ScratchBudget::Headroom::half,
                            session_.disks.size());
    for (const SessionDisk& disk : session_.disks) {
        SP_TRY(cancel.check());
        SP_TRY(add_nodes(disk, deadline));
    }
    SP_TRY(start_nbd_server(deadline));
    // `stop` flushes every disk while the guest stands still: leave it as little as possible.
    for (const SessionDisk& disk : session_.disks) env::flush_cached_writes(disk.image_path);
    return cancel.check();
}

Status QmpSnapshot::check_run_state(const env::Deadline& deadline) {
    SP_ASSIGN(const std::string state, ask_run_state(*client_, deadline));
    if (!is_migrating(state)) return {};
    return fail(Errc::busy, "qmp.migrating",
                "VM " + session_.label + " is being migrated or restored (" + state + ")",
                "try again when that has ended");
}

// Between planning and now somebody may have taken an external snapshot: the names would be wrong.
Status QmpSnapshot::check_disks_unchanged(const env::Deadline& deadline) {
    SP_ASSIGN(const auto devices, ask_devices(*client_, deadline));
    for (const SessionDisk& disk : session_.disks) {
        const bool same =
            std::any_of(devices.begin(), devices.end(), [&](const DeviceFacts& device) {
                return device.disk == disk.disk && device.root == disk.root &&
                       device.source.name == disk.source &&
                       device.source.size.raw() == static_cast<std::uint64_t>(disk.size_bytes);
            });
        if (same) continue;
        return fail(Errc::busy, "qmp.disk_changed",
                    "disk " + disk.disk + " changed its layers or size while the backup began",
                    "start the backup again");
    }
    return {};
}

Status QmpSnapshot::add_nodes(const SessionDisk& disk, const env::Deadline& deadline) {
    const Status scratch =
        client_->run("blockdev-add", scratch_node(disk, session_.mode), deadline);
    if (!scratch) return fail(explain_denied(scratch.error(), disk.scratch_path, qemu_));
    if (session_.mode == Mode::backup_job) return {};
    return client_->run("blockdev-add", filter_node(disk), deadline);
}

Status QmpSnapshot::start_nbd_server(const env::Deadline& deadline) {
    const Map address{{"type", "unix"}, {"data", Map{{"path", session_.nbd_socket}}}};
    const Status started =
        client_->run("nbd-server-start", Map{{"addr", address}, {"max-connections", 0}}, deadline);
    if (started) return {};
    if (started.error().text.find("already running") != std::string::npos) {
        return fail(Errc::busy, "qmp.nbd_server_busy",
                    "QEMU of VM " + session_.label + " already runs an NBD server",
                    "QEMU has one at most: end the other use (nbd-server-stop) and try again");
    }
    return fail(explain_denied(started.error(), session_.nbd_socket, qemu_));
}

Result<SnapshotTimes> QmpSnapshot::take(const env::Deadline& deadline) {
    if (phase_ != Phase::prepared || !phase_file_) {
        return fail(Errc::invalid, "snapshot.order", "take needs one prepare that succeeded");
    }
    auto times = session_.mode == Mode::copy_before_write ? take_with_filters(deadline)
                                                          : take_with_jobs(deadline);
    if (!times) return times;
    times->mode = name_of(session_.mode);
    times->mode_reason = session_.mode_reason;
    phase_ = Phase::taken;
    return times;
}

Result<SnapshotTimes> QmpSnapshot::take_with_jobs(const env::Deadline& deadline) {
    SnapshotTimes times;
    times.before = clock_.monotonic();
    times.wall = clock_.wall();
    SP_TRY(client_->run("transaction", Map{{"actions", instant_actions(session_)}}, deadline));
    times.after = clock_.monotonic();
    return times;
}

Result<SnapshotTimes> QmpSnapshot::take_with_filters(const env::Deadline& deadline) {
    // A VM that does not run writes nothing, and is not ours to resume.
    SP_ASSIGN(const std::string state, ask_run_state(*client_, deadline));
    const bool running = state == "running";
    if (running) SP_TRY(phase_file_->stopping());
    while (client_->take_event(is_stop)) {
    }
    SnapshotTimes times;
    times.before = clock_.monotonic();
    times.wall = clock_.wall();
    const Status inserted = client_->run_all(instant_commands(running), deadline);
    times.after = clock_.monotonic();
    // QEMU sends the event before the reply to `stop`, and only if that stopped the VM: a pause
    // that somebody else made in between is not ours to end. Without replies it may have been ours.
    const bool stopped = client_->take_event(is_stop).has_value();
    const bool unknown = !inserted && !is_refusal(inserted.error());
    if (running && (stopped || unknown)) {
        // The guest runs again before anything is said about failures.
        SP_TRY(resume_vm());
        times.paused = clock_.monotonic() - times.before;
    } else if (running) {
        SP_TRY(phase_file_->resumed());
    }
    SP_TRY(inserted);
    return times;
}

// In one piece: each wait for us between two of them would lengthen the guest's pause.
std::vector<Command> QmpSnapshot::instant_commands(bool stop_first) const {
    std::vector<Command> commands;
    if (stop_first) commands.push_back({"stop", {}});
    auto actions = instant_actions(session_);
    if (!actions.empty()) {
        commands.push_back({"transaction", Map{{"actions", std::move(actions)}}});
    }
    for (const SessionDisk& disk : session_.disks) {
        commands.push_back(
            {"qom-set",
             Map{{"path", disk.device_path}, {"property", "drive"}, {"value", disk.filter_node}}});
    }
    return commands;
}

Status QmpSnapshot::resume_vm() {
    SP_TRY(client_->run("cont", {}, env::Deadline{clock_, resume_budget}));
    return phase_file_->resumed();
}

Result<std::vector<DiskExport>> QmpSnapshot::open_exports(const env::Deadline& deadline) {
    if (phase_ != Phase::taken) {
        return fail(Errc::invalid, "snapshot.order", "exports need a snapshot that was taken");
    }
    std::vector<DiskExport> exports;
    for (const SessionDisk& disk : session_.disks) {
        SP_TRY(open_export(disk, deadline));
        DiskExport one;
        one.disk = disk.disk;
        one.socket = session_.nbd_socket;
        one.export_name = disk.disk;
        if (!disk.parent_bitmap.empty()) {
            one.dirty_context = std::string("qemu:dirty-bitmap:") + frozen_bitmap;
        }
        exports.push_back(std::move(one));
    }
    return exports;
}

Status QmpSnapshot::open_export(const SessionDisk& disk, const env::Deadline& deadline) {
    if (session_.mode == Mode::copy_before_write) {
        SP_TRY(client_->run("blockdev-add", probe_node(disk), deadline));
        SP_TRY(client_->run("block-export-add", probe_export(disk), deadline));
    }
    return client_->run("block-export-add", view_export(disk), deadline);
}

Status QmpSnapshot::prove_alive() {
    if (phase_ != Phase::taken) return broken("it was not taken, or has been ended");
    const env::Deadline deadline{clock_, proof_budget};
    Status proven =
        session_.mode == Mode::copy_before_write ? prove_filters(deadline) : prove_jobs(deadline);
    if (proven || proven.error().id == "snapshot.broken") return proven;
    return broken(proven.error().text);
}

// A filter that gave up lets the guest's writes through, and the view then shows live data without
// an error. It stays broken for good, so one good read of it now proves all reads before.
Status QmpSnapshot::prove_filters(const env::Deadline& deadline) {
    SP_ASSIGN(const auto roots, ask_roots(*client_, deadline));
    for (const SessionDisk& disk : session_.disks) {
        const auto root = roots.find(disk.qdev);
        if (root == roots.end() || root->second != disk.filter_node) {
            return broken("disk " + disk.disk + " no longer sits on our filter");
        }
        if (disk.size_bytes == 0) continue;  // has no sector to ask for, nor a byte to be wrong
        const Status read = read_first_sector(session_.nbd_socket, disk.probe_id, deadline);
        if (!read) {
            return broken("disk " + disk.disk +
                          ": old data could not be kept (is the scratch full or too slow?); " +
                          read.error().text);
        }
    }
    return {};
}

Status QmpSnapshot::prove_jobs(const env::Deadline& deadline) {
    SP_ASSIGN(const Value answer, client_->execute("query-jobs", {}, deadline));
    const serialization::Array& jobs = elements(answer);
    for (const SessionDisk& disk : session_.disks) {
        const bool running = std::any_of(jobs.begin(), jobs.end(), [&](const Value& job) {
            return job.text_or("id") == disk.job_id && job.text_or("status") == "running";
        });
        if (!running) return broken("the job of disk " + disk.disk + " no longer runs");
    }
    SP_ASSIGN(const std::string state, ask_run_state(*client_, deadline));
    if (state == "io-error") return broken("VM " + session_.label + " is paused by an I/O error");
    return room_check()();
}

Result<GuestWrites> QmpSnapshot::guest_writes(const env::Deadline& deadline) {
    return ask_guest_writes(*client_, deadline);
}

std::function<Status()> QmpSnapshot::room_check() {
    return [session = session_, budget = *scratch_budget_]() -> Status {
        const ByteCount used = scratch_occupied(session);
        const auto free = env::free_space(session.folder);
        if (!free) return broken(free.error().text);
        if (!budget.exceeded(used, *free)) return {};
        return broken(budget.complaint(session.folder, used, *free));
    };
}

Status QmpSnapshot::let_go(const env::Deadline& deadline) {
    if (phase_ != Phase::taken) return {};
    SP_TRY(end_in_qemu(*client_, session_, deadline));
    return remove_scratch(session_);
}

Status QmpSnapshot::end(Outcome outcome, const env::Deadline& deadline) {
    if (phase_ == Phase::planned || phase_ == Phase::ended) {
        phase_ = Phase::ended;
        return {};
    }
    if (outcome == Outcome::published && phase_ != Phase::taken) {
        return fail(Errc::invalid, "snapshot.order", "a snapshot never taken cannot be published");
    }
    outcome_ = outcome;
    Status ended = end_on(*client_, outcome, deadline);
    if (!ended && client_->broken()) {
        SP_ASSIGN(auto again, connect_if_alive(session_.socket, deadline));
        // With QEMU its nodes and jobs are gone; what became of the bitmaps the next run sees.
        ended = again ? end_on(*again, outcome, deadline) : Status{};
    }
    SP_TRY(ended);
    SP_TRY(remove_scratch(session_));
    phase_ = Phase::ended;
    return {};
}

Status QmpSnapshot::end_on(QmpClient& client, Outcome outcome, const env::Deadline& deadline) {
    Status ended = end_in_qemu(client, session_, deadline);
    std::map<std::string, std::vector<std::string>> retired;
    for (const SessionDisk& disk : session_.disks) {
        const std::string& name =
            outcome == Outcome::published ? disk.parent_bitmap : disk.new_bitmap;
        if (!name.empty()) retired[disk.source].push_back(name);
    }
    const Status dropped = drop_bitmaps(client, retired, deadline);
    return ended ? dropped : ended;
}

}  // namespace stillpoint::hypervisor::qmp
