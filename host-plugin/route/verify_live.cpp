#include "route/verify_live.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

#include "chunk/zero.hpp"
#include "restore/disk_cursor.hpp"
#include "route/backup_session.hpp"
#include "route/caretaker.hpp"
#include "route/point_lookup.hpp"

namespace stillpoint::route {
namespace {

using extents::ExtentSet;
using serialization::CheckReport;

/// The disk at the point and in the VM of today.
struct Subject {
    vault::Point point;
    DiskDocument document;
    vault::DiskRoot root;
    hypervisor::DiskInfo live;
    std::string doubt;  // why tracking tells nothing about the time since; empty: it does
};

/// What is to be compared, chunk-aligned and within both disks.
struct Comparison {
    ExtentSet read;   // may hold data in the live disk
    ExtentSet zeros;  // zero there, without reading
    ByteCount left_out;
};

/// Compares blocks with the point's map. @threads any
class BlockCheck {
public:
    BlockCheck(vault::Vault& vault, vault::DiskReader& reader, restore::Findings& findings,
               std::string differs)
        : vault_(vault), reader_(reader), findings_(findings), differs_(std::move(differs)) {}

    Status compare(ByteOffset at, ByteView bytes) {
        const ByteCount given{bytes.size()};
        std::uint64_t block = at.raw() / reader_.chunk_bytes();
        for (; !bytes.empty(); ++block) {
            const std::size_t step = std::min<std::size_t>(bytes.size(), reader_.chunk_bytes());
            SP_TRY(compare_block(BlockIndex{block}, bytes.first(step)));
            bytes = bytes.subspan(step);
        }
        findings_.done(given);
        return {};
    }

    /// The live disk is zero there: so must the point be.
    Status expect_zeros(const Extent& extent, const env::CancelToken& cancel) {
        const std::uint64_t chunk = reader_.chunk_bytes();
        const std::uint64_t end = (extent.at.raw() + extent.length.raw() + chunk - 1) / chunk;
        for (std::uint64_t block = extent.at.raw() / chunk; block < end;) {
            SP_TRY(cancel.check());
            SP_ASSIGN(const vault::MapRun run, reader_.run_at(BlockIndex{block}));
            const std::uint64_t count = std::min(run.count, end - block);
            const Extent where = restore::extent_of(reader_, BlockIndex{block}, count);
            if (run.kind == vault::MapRun::Kind::data) findings_.damaged(where, differs_);
            if (run.kind == vault::MapRun::Kind::damaged) findings_.damaged(where, run.text);
            block += count;
        }
        return {};
    }

private:
    Status compare_block(BlockIndex block, ByteView bytes) {
        const auto id = reader_.id_at(block);
        const Extent where = restore::extent_of(reader_, block, 1);
        if (!id && id.error().code != Errc::corrupt) return fail(id.error());
        if (!id) {
            findings_.damaged(where, id.error().text);
            return {};
        }
        const bool same = *id ? vault_.id_of(bytes) == **id : chunk::is_zero(bytes);
        if (!same) findings_.damaged(where, differs_);
        return {};
    }

    vault::Vault& vault_;
    vault::DiskReader& reader_;
    restore::Findings& findings_;
    std::string differs_;
};

class LiveVerification {
public:
    LiveVerification(const BackupServices& services, const BackupOptions& options,
                     const env::CancelToken& cancel)
        : services_(services),
          options_(options),
          cancel_(cancel.child()),
          reading_(cancel_.child()) {}

    Result<CheckReport> run(const VerifyLivePlan& plan) {
        const env::Nanoseconds start = services_.clock.monotonic();
        SP_ASSIGN(const vault::Point point, find_point(services_.vault, plan.point));
        SP_ASSIGN(const auto vm, services_.vm.inspect(within(options_.snapshot_budget)));
        SP_ASSIGN(subject_, choose(point, vm, plan.disk));
        SP_ASSIGN(const env::FileLock lock, lock_vm(options_.run_folder, vm));
        const Decisions decisions = snapshot_of_one();
        const vault::PointId id = env::uuid7(services_.clock);
        SP_ASSIGN(auto session,
                  BackupSession::open(services_, options_, {decisions, id, lock}, cancel_));
        const Status compared = look(*session);
        // No bitmap was asked for, so there is none to drop, and the point's own stays.
        const Status ended = session->end(hypervisor::Snapshot::Outcome::failed);
        if (!compared) return fail(session->cause(compared.error()));
        SP_TRY(ended);
        report_.seconds = env::to_ms(services_.clock.monotonic() - start) / 1000.0;
        return std::move(report_);
    }

private:
    static Result<Subject> choose(const vault::Point& point, const hypervisor::VmInfo& vm,
                                  const std::string& wanted) {
        if (vm.state == hypervisor::VmState::shut_off) {
            return fail(Errc::unsupported, "vm.not_running", "VM " + vm.name + " is not running",
                        "compare with its image: --against FILE");
        }
        const std::vector<Parent> parents = find_history(vm, {point});
        if (parents.empty()) {
            return fail(Errc::invalid, "verify.other_vm",
                        "recovery point " + point.id + " is of VM " + point.vm_name + " (" +
                            point.vm_uuid + "), not of " + vm.name + " (" + vm.uuid + ")",
                        "name the hypervisor and the VM that the point is of");
        }
        if (wanted.empty() && point.disks.size() != 1) {
            return fail(Errc::invalid, "verify.disk_needed",
                        "recovery point " + point.id + " has several disks",
                        "name the one to compare with --disk");
        }
        const std::string name = wanted.empty() ? point.disks.front().disk : wanted;
        const auto named = [&](const auto& disk) { return disk.name == name; };
        const auto& documents = parents.front().document.disks;
        const auto document = std::find_if(documents.begin(), documents.end(), named);
        const auto root = std::find_if(point.disks.begin(), point.disks.end(),
                                       [&](const auto& disk) { return disk.disk == name; });
        if (document == documents.end() || root == point.disks.end()) {
            return fail(Errc::invalid, "point.no_such_disk",
                        "recovery point " + point.id + " has no disk " + name,
                        "`stillpoint show` lists its disks");
        }
        const auto live = std::find_if(vm.disks.begin(), vm.disks.end(), named);
        if (live == vm.disks.end()) {
            return fail(Errc::invalid, "vm.no_such_disk", "VM " + vm.name + " has no disk " + name,
                        "attach the disk again, or compare with its image: --against FILE");
        }
        return Subject{point, *document, *root, *live, doubt_about_tracking(*live, *document)};
    }

    [[nodiscard]] bool is_tracked() const { return subject_.doubt.empty(); }

    [[nodiscard]] Decisions snapshot_of_one() const {
        Decisions decisions;
        DiskDecision disk;
        disk.disk = subject_.live;
        if (is_tracked()) disk.parent_bitmap = subject_.document.new_bitmap;
        decisions.disks.push_back(std::move(disk));
        return decisions;
    }

    Status look(BackupSession& session) {
        services_.reporter.progress({.phase = "snapshot", .disk = {}, .text = "preparing"});
        SP_TRY(session.snapshot().prepare(within(options_.snapshot_budget), cancel_));
        const auto times = session.snapshot().take(within(options_.snapshot_budget));
        if (!times) return fail(in_step("taking the snapshot", times.error()));
        SP_ASSIGN(const auto exports,
                  session.snapshot().open_exports(within(options_.snapshot_budget)));
        if (exports.size() != 1) {
            return fail(Errc::io, "snapshot.no_export",
                        "disk " + subject_.live.name + " was not exported");
        }
        SP_TRY(look_after_guest(session, exports.front()));
        // Until here a broken snapshot may have shown live data: then nothing is proven.
        return session.snapshot().prove_alive();
    }

    /// The snapshot costs the guest's writes what a backup's does (I6).
    Status look_after_guest(BackupSession& session, const hypervisor::DiskExport& source) {
        const auto writes = session.snapshot().guest_writes(within(options_.snapshot_budget));
        const Governor governor{writes ? Governor::mean({}, *writes) : std::nullopt,
                                options_.write_latency_max};
        SP_ASSIGN(const auto caretaker,
                  Caretaker::start(services_, session.snapshot(), governor, reading_));
        const Status compared = compare(source);
        if (const auto given_up = caretaker->end()) return fail(*given_up);
        return compared;
    }

    /// What tracking says was written since the point.
    Result<ExtentSet> written_since(const hypervisor::DiskExport& source, ByteCount chunk) {
        if (!is_tracked()) return ExtentSet{};
        SP_ASSIGN(const auto nbd,
                  services_.connect_nbd({source.socket, source.export_name, source.dirty_context},
                                        reading_));
        SP_ASSIGN(const auto plan, nbd->plan(chunk, subject_.root.size, reading_));
        return extents::unite(plan.read, plan.zeros);
    }

    /// Without what was written since, and without what only one of the two disks has.
    [[nodiscard]] Comparison comparison(const capture::ReadPlan& whole, const ExtentSet& written,
                                        ByteCount live_size, ByteCount chunk) const {
        const ByteCount larger = std::max(live_size, subject_.root.size);
        const ByteCount common = std::min(live_size, subject_.root.size);
        const ExtentSet beyond = extents::align_outward(
            extents::subtract(extents::whole(larger), extents::whole(common)), chunk, larger);
        const ExtentSet left_out = extents::unite(written, beyond);
        return {extents::subtract(whole.read, left_out), extents::subtract(whole.zeros, left_out),
                extents::total(extents::clip(left_out, common))};
    }

    Status compare(const hypervisor::DiskExport& source) {
        const ByteCount chunk{services_.vault.chunk_bytes()};
        SP_ASSIGN(const ExtentSet written, written_since(source, chunk));
        SP_ASSIGN(auto nbd,
                  services_.connect_nbd({source.socket, source.export_name, {}}, reading_));
        SP_ASSIGN(const auto whole, nbd->plan(chunk, std::nullopt, reading_));
        const Comparison what = comparison(whole, written, nbd->size(), chunk);
        SP_ASSIGN(const auto reader, services_.vault.open_disk(subject_.root));
        const std::uint64_t total = extents::total(what.read).raw();
        const restore::Progress progress = [&](std::uint64_t done) { tell(done, total); };
        restore::Findings findings{progress};
        BlockCheck check{services_.vault, *reader, findings, differs()};
        tell(0, total);
        const unsigned workers = std::max(1u, std::thread::hardware_concurrency());
        SP_TRY(nbd->read(
            what.read, workers,
            [&](ByteOffset at, ByteView bytes) { return check.compare(at, bytes); }, reading_));
        for (const Extent& extent : what.zeros) SP_TRY(check.expect_zeros(extent, reading_));
        note_short_disk(nbd->size(), chunk, findings);
        make_report(findings, what);
        return {};
    }

    void note_short_disk(ByteCount live_size, ByteCount chunk, restore::Findings& findings) const {
        if (live_size >= subject_.root.size) return;
        const ByteOffset from{live_size.raw() / chunk.raw() * chunk.raw()};
        findings.damaged(extents::between(from, ByteOffset{subject_.root.size.raw()}),
                         "the live disk ends at byte " + std::to_string(live_size.raw()));
    }

    [[nodiscard]] std::string differs() const {
        return is_tracked() ? "differs, and change tracking knows of no write there since the point"
                            : "differs; it may have been written since the point";
    }

    void make_report(restore::Findings& findings, const Comparison& what) {
        report_.points = 1;
        report_.bytes_read = extents::total(what.read).raw();
        report_.written_since = what.left_out.raw();
        for (const restore::DamagedRange& range : findings.take()) {
            report_.damage.push_back({.point = subject_.point.id,
                                      .disk = subject_.live.name,
                                      .offset = range.range.at.raw(),
                                      .length = range.range.length.raw(),
                                      .text = range.text});
        }
        report_.ok = report_.damage.empty();
        if (!is_tracked()) {
            report_.note = "nothing tells what was written since the point (" + subject_.doubt +
                           "): all of the disk was compared";
        }
    }

    void tell(std::uint64_t done, std::uint64_t total) {
        // By MiB, as the blocks come too fast for anybody to look at.
        constexpr std::uint64_t step_bytes = 1u << 20;
        const std::uint64_t step = done == total ? ~0ull : done / step_bytes;
        if (told_.exchange(step) == step) return;
        services_.reporter.progress({.phase = "verify",
                                     .disk = subject_.live.name,
                                     .done = done,
                                     .total = total,
                                     .text = {}});
    }

    [[nodiscard]] env::Deadline within(env::Nanoseconds budget) const {
        return {services_.clock, budget};
    }

    const BackupServices& services_;
    const BackupOptions& options_;
    env::CancelToken cancel_;
    env::CancelToken reading_;  // cancelled as well when the guest suffers from it
    Subject subject_;
    CheckReport report_;
    std::atomic<std::uint64_t> told_{~0ull - 1};
};

}  // namespace

Result<CheckReport> run_verify_live(const BackupServices& services, const VerifyLivePlan& plan,
                                    const BackupOptions& options, const env::CancelToken& cancel) {
    return LiveVerification{services, options, cancel}.run(plan);
}

}  // namespace stillpoint::route
