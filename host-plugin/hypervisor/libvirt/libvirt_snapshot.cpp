#include "hypervisor/libvirt/libvirt_snapshot.hpp"

#include <array>
#include <set>

#include "base/check.hpp"
#include "hypervisor/libvirt/checkpoints.hpp"
#include "hypervisor/libvirt/job.hpp"
#include "hypervisor/libvirt/keeper_order.hpp"
#include "hypervisor/libvirt/own_tracking.hpp"
#include "hypervisor/libvirt/preflight.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

constexpr std::chrono::seconds proof_budget{10};   // one question to libvirt
constexpr std::chrono::seconds rescue_budget{30};  // what the destructor may take

std::string uuid_of(virDomainPtr domain) {
    std::array<char, VIR_UUID_STRING_BUFLEN> text{};
    return virDomainGetUUIDString(domain, text.data()) == 0 ? text.data() : "";
}

tl::unexpected<Error> broken(const std::string& why) {
    return fail(Errc::refused, "snapshot.broken", "the snapshot did not last: " + why,
                "run the backup again; nothing of this attempt is kept");
}

std::vector<std::string> names_of(const std::vector<DiskPlan>& disks) {
    std::vector<std::string> names;
    names.reserve(disks.size());
    for (const DiskPlan& disk : disks) names.push_back(disk.name);
    return names;
}

}  // namespace

Result<std::unique_ptr<LibvirtSnapshot>> LibvirtSnapshot::plan(
    std::shared_ptr<Connection> connection, Domain domain, const SnapshotPlan& plan,
    const env::Clock& clock) {
    SP_TRY(check_names(plan));
    SP_ASSIGN(ScratchPaths paths, scratch_paths(plan.job_folder, names_of(plan.disks)));
    return std::make_unique<LibvirtSnapshot>(Key{}, std::move(connection), std::move(domain), plan,
                                             std::move(paths), clock);
}

LibvirtSnapshot::LibvirtSnapshot(Key, std::shared_ptr<Connection> connection, Domain domain,
                                 SnapshotPlan plan, ScratchPaths paths, const env::Clock& clock)
    : connection_(std::move(connection)),
      domain_(std::move(domain)),
      plan_(std::move(plan)),
      paths_(std::move(paths)),
      clock_(clock),
      uuid_(uuid_of(domain_.get())) {}

LibvirtSnapshot::~LibvirtSnapshot() {
    // What cannot be ended here the keeper ends, or the next run.
    if (!ended_) static_cast<void>(end(Outcome::failed, {clock_, rescue_budget}));
}

serialization::Value LibvirtSnapshot::keeper_document() const {
    std::map<std::string, std::string> bitmaps;
    for (const DiskPlan& disk : plan_.disks) {
        if (!disk.new_bitmap.empty()) bitmaps[disk.name] = disk.new_bitmap;
    }
    return to_document({.uri = connection_->uri(),
                        .vm = uuid_,
                        .paths = paths_,
                        .new_bitmaps = std::move(bitmaps)});
}

BackupDocuments LibvirtSnapshot::documents(const Facts& facts) const {
    std::vector<BackupDisk> disks;
    for (const DiskPlan& plan : plan_.disks) {
        const Node* node = facts.active_node(plan.name);
        const bool tracked = node != nullptr && node->holds_bitmaps;
        disks.push_back({.name = plan.name,
                         .scratch = paths_.files.at(plan.name).string(),
                         .incremental = tracked ? plan.parent_bitmap : "",
                         .checkpoint = tracked ? plan.new_bitmap : ""});
    }
    std::vector<std::string> left_out;
    for (const DiskInfo& disk : facts.vm.disks) {
        if (!paths_.files.contains(disk.name)) left_out.push_back(disk.name);
    }
    return backup_documents(paths_.socket.string(), disks, left_out);
}

std::vector<std::string> LibvirtSnapshot::parents() const {
    std::set<std::string> names;
    for (const DiskPlan& disk : plan_.disks) {
        if (!disk.parent_bitmap.empty()) names.insert(disk.parent_bitmap);
    }
    return {names.begin(), names.end()};
}

Status LibvirtSnapshot::prepare(const env::Deadline& deadline, const env::CancelToken& cancel) {
    SP_ASSIGN(const Facts facts, connection_->call<Facts>(deadline, "inspect the VM",
                                                          [domain = domain_](virConnectPtr) {
                                                              return read_facts(domain.get());
                                                          }));
    SP_TRY(check_plan(plan_, facts));
    plan_ = without_impossible_bitmaps(std::move(plan_), facts);
    stopped_before_ = facts.state == VIR_DOMAIN_PAUSED && facts.reason == VIR_DOMAIN_PAUSED_IOERROR;
    SP_TRY(cancel.check());
    SP_TRY(make_ready(facts, deadline));
    std::map<std::string, ByteCount> sizes;
    for (const DiskInfo& disk : facts.vm.disks) sizes[disk.name] = disk.size;
    prepared_ = true;  // from here on there is something to remove
    SP_TRY(create_scratch(paths_, sizes, facts.xml.qemu_user, deadline, cancel));
    SP_ASSIGN(const ByteCount free, env::free_space(paths_.folder));
    const auto names = names_of(plan_.disks);
    state_ =
        std::make_shared<WatchState>(std::set<std::string>{names.begin(), names.end()}, clock_);
    const ScratchBudget budget{
        {free, plan_.scratch_budget}, ScratchBudget::Headroom::half, names.size()};
    guard_ = std::make_shared<Guard>(domain_, paths_, budget, state_);
    SP_ASSIGN(watch_, Watch::subscribe(connection_, domain_, state_, deadline));
    documents_ = documents(facts);
    own_tracking_ = own_tracking(plan_.disks, facts);
    SP_TRY(cancel.check());
    return connection_->call<void>(deadline, "start bitmaps",
                                   [domain = domain_, facts, own = own_tracking_](virConnectPtr) {
                                       return start_bitmaps(domain.get(), facts, own);
                                   });
}

Status LibvirtSnapshot::make_ready(const Facts& facts, const env::Deadline& deadline) {
    return connection_->call<void>(
        deadline, "prepare the VM",
        [domain = domain_, facts, deadline, disks = names_of(plan_.disks),
         parents = parents()](virConnectPtr) -> Status {
            SP_TRY(end_dead_job(domain.get(), deadline));
            for (const std::string& disk : disks) SP_TRY(check_block_job(domain.get(), disk));
            for (const std::string& parent : parents) {
                SP_TRY(adopt_parent(domain.get(), facts, parent));
            }
            return forget_empty_checkpoints(domain.get(), facts);
        });
}

Result<SnapshotTimes> LibvirtSnapshot::take(const env::Deadline& deadline) {
    SP_CHECK(watch_ != nullptr && !begin_);
    state_->set_alarm([connection = connection_.get(), guard = guard_,
                       pending = std::make_shared<std::atomic<bool>>(false)] {
        if (pending->exchange(true)) return;  // one look answers all alarms before it
        connection->start<void>("look after the scratch space", [=](virConnectPtr) -> Status {
            *pending = false;
            guard->look();
            return {};
        });
    });
    SnapshotTimes times;
    times.before = clock_.monotonic();
    begin_ = connection_->start<void>(
        "begin the backup",
        [domain = domain_, documents = documents_, state = state_,
         guard = guard_](virConnectPtr) -> Status {
            const char* checkpoint =
                documents.checkpoint.empty() ? nullptr : documents.checkpoint.c_str();
            const int begun =
                virDomainBackupBegin(domain.get(), documents.backup.c_str(), checkpoint,
                                     VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL);
            Status status = begun < 0 ? Status{fail(last_error("begin the backup"))} : Status{};
            state->begin_returned();
            return status ? guard->arm() : status;
        });
    SP_ASSIGN(const auto instant, state_->wait_captured(deadline));
    if (instant) {
        times.after = instant->monotonic;
        times.wall = instant->wall;
        return times;
    }
    SP_TRY(begin_->wait(deadline));
    times.after = clock_.monotonic();
    times.wall = clock_.wall();
    return times;
}

Result<std::vector<DiskExport>> LibvirtSnapshot::open_exports(const env::Deadline& deadline) {
    SP_CHECK(begin_.has_value());
    SP_TRY(begin_->wait(deadline));
    using Exports = std::map<std::string, DiskExport>;
    SP_ASSIGN(const Exports own,
              connection_->call<Exports>(
                  deadline, "show the changes of disks",
                  [domain = domain_, own = own_tracking_](virConnectPtr) -> Result<Exports> {
                      return export_changes(domain.get(), own);
                  }));
    std::vector<DiskExport> exports;
    for (const DiskPlan& disk : plan_.disks) {
        if (const auto shown = own.find(disk.name); shown != own.end()) {
            exports.push_back(shown->second);
            continue;
        }
        DiskExport item;
        item.disk = disk.name;
        item.socket = paths_.socket.string();
        item.export_name = disk.name;
        if (!disk.parent_bitmap.empty()) {
            item.dirty_context = "qemu:dirty-bitmap:" + export_bitmap_name(disk.name);
        }
        exports.push_back(std::move(item));
    }
    return exports;
}

Status LibvirtSnapshot::prove_alive() {
    SP_CHECK(state_ != nullptr);
    // Asked after what the guard may be doing on the lane: it knows most about why.
    const auto job = connection_->call<std::optional<RunningJob>>(
        {clock_, proof_budget}, "ask for the VM's job",
        [domain = domain_](virConnectPtr) { return running_job(domain.get()); });
    if (const auto why = state_->broken()) return broken(*why);
    if (!job) return broken(job.error().text);
    // The socket's path is this run's alone, so the job is the very one that take() began.
    if (!*job || (*job)->backup_socket != paths_.socket) return broken("its job has ended");
    return room_check()();
}

Result<GuestWrites> LibvirtSnapshot::guest_writes(const env::Deadline& deadline) {
    return connection_->call<GuestWrites>(
        deadline, "ask for the VM's statistics",
        [domain = domain_](virConnectPtr) { return count_guest_writes(domain.get()); });
}

std::function<Status()> LibvirtSnapshot::room_check() {
    return [state = state_, guard = guard_]() -> Status {
        if (const auto why = state->verdict()) return broken(*why);
        if (state->had_io_error()) return {};  // being resumed
        const auto why = guard->exceeded();
        if (!why) return {};
        // Space that others took raises no event of ours.
        state->raise_alarm();
        return broken(*why);
    };
}

Status LibvirtSnapshot::end_job(const env::Deadline& deadline) {
    if (!begin_) return {};
    // Its failure was reported by take() or open_exports(); only its being over matters now.
    static_cast<void>(begin_->wait(deadline));
    return connection_->call<void>(deadline, "end the backup",
                                   [domain = domain_, socket = paths_.socket.string(), deadline,
                                    stopped_before = stopped_before_](virConnectPtr) -> Status {
                                       SP_TRY(end_backup(domain.get(), socket, deadline));
                                       // Asked for, not remembered: the event may be on its way.
                                       if (stopped_before) return {};
                                       SP_TRY(resume_after_io_error(domain.get()));
                                       return {};
                                   });
}

// On the planned disks alone: another one may still count from a checkpoint of the same name.
Status LibvirtSnapshot::retire(std::string DiskPlan::*which, const env::Deadline& deadline) {
    std::map<std::string, std::vector<std::string>> by_disk;
    for (const DiskPlan& disk : plan_.disks) {
        if (!(disk.*which).empty()) by_disk[disk.name].push_back(disk.*which);
    }
    return connection_->call<void>(deadline, "delete checkpoints",
                                   [domain = domain_, by_disk](virConnectPtr) -> Status {
                                       SP_ASSIGN(const Facts facts, read_facts(domain.get()));
                                       return remove_bitmaps(domain.get(), facts, by_disk);
                                   });
}

Status LibvirtSnapshot::let_go(const env::Deadline& deadline) {
    if (ended_ || !begin_) return {};
    state_->expect_end();
    SP_TRY(end_job(deadline));
    SP_TRY(remove_scratch(paths_));
    // From now on a VM that stops is not ours to resume.
    let_go_ = true;
    state_->set_alarm({});
    watch_.reset();
    return {};
}

Status LibvirtSnapshot::end(Outcome outcome, const env::Deadline& deadline) {
    if (std::exchange(ended_, true) || !prepared_) return {};
    if (state_) state_->expect_end();
    Status ended = let_go_ ? Status{} : end_job(deadline);
    // Our connection may be what broke: a fresh one does what a keeper would.
    if (!ended) ended = clean_up_libvirt(keeper_document(), deadline);
    const bool over = ended.has_value();
    if (begin_ || !own_tracking_.empty()) {
        const auto which =
            outcome == Outcome::published ? &DiskPlan::parent_bitmap : &DiskPlan::new_bitmap;
        Status retired = retire(which, deadline);
        if (!retired && ended) ended = std::move(retired);
    }
    // Until here an I/O error that our scratch caused is heard of, and the guest resumed.
    if (state_) state_->set_alarm({});
    watch_.reset();
    // A job that could not be ended still writes there. What is left also tells the keeper that a
    // pause by an I/O error may be ours to end.
    Status removed = over ? remove_scratch(paths_) : Status{};
    return ended ? removed : ended;
}

}  // namespace stillpoint::hypervisor::libvirt
