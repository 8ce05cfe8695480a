#pragma once
#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "env/clock.hpp"
#include "route/backup_route.hpp"

/// Everything around the backup's spine, faked: one journal of calls in their order, and one call
/// that fails. @threads the journal any
namespace stillpoint::fakes {

/// Records every call and fails the k-th one (0-based) when asked to.
class Journal {
public:
    explicit Journal(int fail_at = -1) : fail_at_(fail_at) {}
    /// @return the failure to report, or success
    Status call(const std::string& name) {
        const std::scoped_lock lock{mutex_};
        const int number = static_cast<int>(calls_.size());
        calls_.push_back(name);
        if (number != fail_at_) return {};
        failed_ = name;
        return fail(Errc::io, "fake.failure", name + " fails on request");
    }
    [[nodiscard]] const std::vector<std::string>& calls() const { return calls_; }
    [[nodiscard]] const std::string& failed() const { return failed_; }
    /// @return position of the first call of that name; -1: never
    [[nodiscard]] int at(const std::string& name) const {
        const auto found = std::find(calls_.begin(), calls_.end(), name);
        return found == calls_.end() ? -1 : static_cast<int>(found - calls_.begin());
    }
    [[nodiscard]] bool called(const std::string& name) const { return at(name) >= 0; }

private:
    std::mutex mutex_;
    int fail_at_;
    std::vector<std::string> calls_;
    std::string failed_;
};

class FakeSnapshot final : public hypervisor::Snapshot {
public:
    FakeSnapshot(Journal& journal, const env::Clock& clock, std::vector<std::string> disks)
        : journal_(journal), clock_(clock), disks_(std::move(disks)) {}
    std::function<Status()> room = [] { return Status{}; };
    std::function<Status()> room_check() override { return room; }
    Status prepare(const env::Deadline&, const env::CancelToken&) override {
        return journal_.call("snapshot.prepare");
    }
    Result<hypervisor::SnapshotTimes> take(const env::Deadline&) override {
        const auto before = clock_.monotonic();
        SP_TRY(journal_.call("snapshot.take"));
        return hypervisor::SnapshotTimes{before, clock_.monotonic(), clock_.wall(), {}};
    }
    Result<std::vector<hypervisor::DiskExport>> open_exports(const env::Deadline&) override {
        SP_TRY(journal_.call("snapshot.open_exports"));
        std::vector<hypervisor::DiskExport> exports;
        for (const auto& name : disks_) exports.push_back({name, "/fake", name, {}, {}});
        return exports;
    }
    Status prove_alive() override { return journal_.call("snapshot.prove_alive"); }
    Status let_go(const env::Deadline&) override { return journal_.call("snapshot.let_go"); }
    Status end(Outcome outcome, const env::Deadline&) override {
        return journal_.call(outcome == Outcome::published ? "snapshot.end(published)"
                                                           : "snapshot.end(failed)");
    }
    [[nodiscard]] serialization::Value keeper_document() const override {
        return serialization::Map{{"driver", "fake"}};
    }

private:
    Journal& journal_;
    const env::Clock& clock_;
    std::vector<std::string> disks_;
};

class FakeVm final : public hypervisor::Vm {
public:
    FakeVm(Journal& journal, const env::Clock& clock, hypervisor::VmInfo info)
        : told(std::move(info)), journal_(journal), clock_(clock) {}
    Result<hypervisor::VmInfo> inspect(const env::Deadline&) override {
        SP_TRY(journal_.call("vm.inspect"));
        return told;
    }
    Status remove_bitmaps(const std::map<std::string, std::vector<std::string>>&,
                          const env::Deadline&) override {
        return journal_.call("vm.remove_bitmaps");
    }
    Result<std::unique_ptr<hypervisor::Snapshot>> plan_snapshot(
        const hypervisor::SnapshotPlan& plan) override {
        SP_TRY(journal_.call("vm.plan_snapshot"));
        std::vector<std::string> disks;
        for (const auto& disk : plan.disks) disks.push_back(disk.name);
        return std::make_unique<FakeSnapshot>(journal_, clock_, std::move(disks));
    }
    Result<hypervisor::Configuration> configuration(const env::Deadline&) override {
        SP_TRY(journal_.call("vm.configuration"));
        return configured;
    }
    hypervisor::VmInfo told;
    hypervisor::Configuration configured;

private:
    Journal& journal_;
    const env::Clock& clock_;
};

class FakeKeeper final : public keeper::KeeperHandle {
public:
    explicit FakeKeeper(Journal& journal) : journal_(journal) {}
    Status watch(const serialization::Value&) override { return journal_.call("keeper.watch"); }
    Status publishing() override { return journal_.call("keeper.publishing"); }
    Status beat() override { return {}; }
    [[nodiscard]] pid_t pid() const override { return 0; }
    Status done() override { return journal_.call("keeper.done"); }
    keeper::Farewell hand_over() override {
        const Status answer = journal_.call("keeper.hand_over");
        return answer ? keeper::Farewell::cleaned_up : keeper::Farewell::goes_on;
    }

private:
    Journal& journal_;
};

/// A disk of zeros but for its first chunk.
class FakeSource final : public capture::NbdSource {
public:
    FakeSource(Journal& journal, ByteCount size) : journal_(journal), size_(size) {}
    [[nodiscard]] ByteCount size() const override { return size_; }
    Result<capture::ReadPlan> plan(ByteCount chunk, std::optional<ByteCount>,
                                   const env::CancelToken&) override {
        SP_TRY(journal_.call("nbd.plan"));
        return capture::ReadPlan{{{ByteOffset{0}, chunk}}, {}};
    }
    Status read(const extents::ExtentSet& what, unsigned, const Sink& sink,
                const env::CancelToken&) override {
        SP_TRY(journal_.call("nbd.read"));
        for (const Extent& extent : what) {
            const Bytes bytes(extent.length.raw(), std::byte{7});
            SP_TRY(sink(extent.at, bytes));
        }
        return {};
    }

private:
    Journal& journal_;
    ByteCount size_;
};

class FakeDiskWriter final : public vault::DiskWriter {
public:
    FakeDiskWriter(Journal& journal, std::string disk, ByteCount size)
        : journal_(journal), disk_(std::move(disk)), size_(size) {}
    Status put(BlockIndex, ByteView) override { return journal_.call("writer.put"); }
    Status put_zeros(BlockIndex, std::uint64_t) override { return {}; }
    Result<vault::DiskRoot> finish() override {
        SP_TRY(journal_.call("writer.finish"));
        return vault::DiskRoot{disk_, size_, {}};
    }
    [[nodiscard]] vault::WriteCounts counts() const override { return {}; }

private:
    Journal& journal_;
    std::string disk_;
    ByteCount size_;
};

class FakeRun final : public vault::Run {
public:
    FakeRun(Journal& journal, std::vector<vault::Point>& points)
        : journal_(journal), points_(points) {}
    Result<std::unique_ptr<vault::DiskWriter>> open_disk(const std::string& disk, ByteCount size,
                                                         std::optional<vault::DiskRoot>) override {
        SP_TRY(journal_.call("run.open_disk"));
        return std::make_unique<FakeDiskWriter>(journal_, disk, size);
    }
    Status flush() override { return journal_.call("run.flush"); }
    Status publish(const vault::Point& point) override {
        SP_TRY(journal_.call("run.publish"));
        points_.push_back(point);
        return {};
    }
    [[nodiscard]] std::uint64_t stored_total_bytes() const override { return 0; }

private:
    Journal& journal_;
    std::vector<vault::Point>& points_;
};

class FakeVault final : public vault::Vault {
public:
    explicit FakeVault(Journal& journal) : journal_(journal) {}
    std::vector<vault::Point> held;
    std::vector<vault::UnreadablePoint> unreadable;

    [[nodiscard]] std::string short_id() const override { return "0badcafe"; }
    [[nodiscard]] std::uint32_t chunk_bytes() const override { return 65536; }
    Result<vault::PointList> point_list() override {
        SP_TRY(journal_.call("vault.points"));
        return vault::PointList{held, unreadable};
    }
    Result<vault::Point> point(const vault::PointId& id) override {
        for (const auto& point : held) {
            if (point.id == id) return point;
        }
        return fail(Errc::not_found, "point.not_found", id);
    }
    Result<std::unique_ptr<vault::Run>> begin_run(const vault::PointId&) override {
        SP_TRY(journal_.call("vault.begin_run"));
        return std::make_unique<FakeRun>(journal_, held);
    }
    Result<std::unique_ptr<vault::DiskReader>> open_disk(const vault::DiskRoot&) override {
        return fail(Errc::unsupported, "fake", "not faked");
    }
    Result<std::unique_ptr<vault::RootProof>> prove(ByteCount) override {
        return fail(Errc::unsupported, "fake", "not faked");
    }
    Status forget(const vault::PointId&) override { return {}; }
    Result<vault::CheckResult> check(vault::CheckDepth, const vault::ProgressFn&,
                                     const env::CancelToken&) override {
        return vault::CheckResult{};
    }
    Result<vault::Stats> stats(const vault::StatsRequest&, const env::CancelToken&) override {
        return vault::Stats{};
    }
    Status diff(const vault::DiskRoot&, const vault::DiskRoot&,
                const vault::BlockDiffFn&) override {
        return fail(Errc::unsupported, "fake", "not faked");
    }
    Result<vault::GcResult> collect(const vault::GcOptions&, const vault::ProgressFn&,
                                    const env::CancelToken&) override {
        return vault::GcResult{};
    }
    Result<vault::RepairResult> repair(const vault::RepairOptions&, const vault::ProgressFn&,
                                       const env::CancelToken&) override {
        return vault::RepairResult{};
    }
    Status confirm(const vault::PointId&) override { return {}; }
    [[nodiscard]] chunk::ChunkId id_of(ByteView) const override { return {}; }

private:
    Journal& journal_;
};

/// A guest that does what it should; each call can be the one that fails.
class FakeGuest final : public guest::GuestClient {
public:
    /// @param retry_later its word that another backup may do better soon
    FakeGuest(Journal& journal, const env::Clock& clock, std::vector<std::string> features = {},
              bool retry_later = false)
        : journal_(journal), clock_(clock), retry_later_(retry_later) {
        welcome_.features = std::move(features);
        welcome_.os = "linux";
        welcome_.volumes = {{.name = "/", .type = "ext4", .device = "254:0"}};
    }
    [[nodiscard]] const serialization::Welcome& welcome() const override { return welcome_; }
    Result<serialization::Prepared> prepare(const serialization::Prepare& request,
                                            const env::Deadline&) override {
        SP_TRY(journal_.call("guest.prepare"));
        return serialization::Prepared{.job_id = request.job_id};
    }
    Result<serialization::Frozen> freeze(const serialization::Freeze& request,
                                         const env::Deadline&) override {
        first_freeze_ns_ = now();
        SP_TRY(journal_.call("guest.freeze"));
        frozen_ns_ = now();
        return serialization::Frozen{.lease_id = request.lease_id,
                                     .first_freeze_ns = first_freeze_ns_,
                                     .frozen_ns = frozen_ns_,
                                     .evidence = {root(frozen_ns_)}};
    }
    Result<serialization::Thawed> thaw(const serialization::Thaw& request,
                                       const env::Deadline&) override {
        const std::int64_t thaw_ns = now();
        SP_TRY(journal_.call(request.snapshot_taken ? "guest.thaw(taken)" : "guest.thaw(failed)"));
        const std::int64_t thawed_ns = now();
        return serialization::Thawed{.lease_id = request.lease_id,
                                     .held = true,
                                     .first_freeze_ns = first_freeze_ns_,
                                     .frozen_ns = frozen_ns_,
                                     .thaw_ns = thaw_ns,
                                     .thawed_ns = thawed_ns,
                                     .evidence = {root(thawed_ns)},
                                     .retry_later = retry_later_};
    }
    Result<serialization::Finished> finish(const serialization::Finish& request,
                                           const env::Deadline&) override {
        SP_TRY(journal_.call("guest.finish"));
        return serialization::Finished{.job_id = request.job_id};
    }
    Result<serialization::Completed> complete(const serialization::Complete& request,
                                              const env::Deadline&) override {
        SP_TRY(
            journal_.call(request.success ? "guest.complete(success)" : "guest.complete(failure)"));
        return serialization::Completed{request.job_id, {}};
    }
    void cancel(const std::string&) noexcept override { (void)journal_.call("guest.cancel"); }
    Result<env::Nanoseconds> ping(const env::Deadline&) override { return env::Nanoseconds{1}; }

private:
    [[nodiscard]] std::int64_t now() const { return clock_.monotonic().count(); }
    [[nodiscard]] serialization::Evidence root(std::int64_t until_ns) const {
        return {.kind = serialization::EvidenceKind::filesystem,
                .name = "/",
                .type = "ext4",
                .quiesced = true,
                .duration_ns = until_ns - first_freeze_ns_};
    }
    Journal& journal_;
    const env::Clock& clock_;
    bool retry_later_;
    serialization::Welcome welcome_;
    std::int64_t first_freeze_ns_ = 0, frozen_ns_ = 0;
};

class SilentReporter final : public route::Reporter {
public:
    void log(route::Severity, const std::string&) override {}
    void progress(const serialization::ProgressEvent&) override {}
};

}  // namespace stillpoint::fakes
