#include "route/verify_live.hpp"

#include <doctest/doctest.h>

#include <future>
#include <mutex>

#include "fakes/backup_world.hpp"
#include "fakes/plain_disk.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::route;
using serialization::CheckReport;

namespace {

constexpr std::uint32_t chunk_bytes = test::VaultLab::chunk_bytes;
constexpr std::size_t blocks = 64;

/// Remembers what it was asked to plan, and how its snapshot ended.
class LiveVm final : public hypervisor::Vm {
public:
    LiveVm(fakes::Journal& journal, const env::Clock& clock) : journal_(journal), clock_(clock) {}
    hypervisor::VmInfo info;
    hypervisor::SnapshotPlan planned;

    Result<hypervisor::VmInfo> inspect(const env::Deadline&) override { return info; }
    Status remove_bitmaps(const std::map<std::string, std::vector<std::string>>&,
                          const env::Deadline&) override {
        return journal_.call("vm.remove_bitmaps");
    }
    Result<std::unique_ptr<hypervisor::Snapshot>> plan_snapshot(
        const hypervisor::SnapshotPlan& plan) override {
        planned = plan;
        auto snapshot = std::make_unique<fakes::FakeSnapshot>(journal_, clock_,
                                                              std::vector{plan.disks.at(0).name});
        snapshot->room = room;
        return snapshot;
    }
    std::function<Status()> room = [] { return Status{}; };

private:
    fakes::Journal& journal_;
    const env::Clock& clock_;
};

struct LiveWorld {
    explicit LiveWorld(int fail_at = -1) : journal(fail_at) {
        options.jobs_folder = folder->path() / "jobs";
        options.run_folder = folder->path() / "run";
        hypervisor::DiskInfo disk;
        disk.name = "vda";
        disk.path = "/images/vda";
        disk.format = "qcow2";
        disk.size = ByteCount{before.size()};
        vm.info.name = "web1";
        vm.info.uuid = "11111111-2222-3333-4444-555555555555";
        vm.info.disks = {disk};
        publish(disk);
    }

    void publish(const hypervisor::DiskInfo& disk) {
        point.id = lab.new_id();
        point.vm_name = vm.info.name;
        point.vm_uuid = vm.info.uuid;
        PointDocument document;
        document.disks.push_back({.name = "vda",
                                  .identity = disk.identity(),
                                  .path = disk.path,
                                  .new_bitmap = bitmap_name(lab.vault().short_id(), point.id),
                                  .reason = {},
                                  .size = before.size(),
                                  .audit = {}});
        point.document = encode_point_document(document);
        const auto run = lab.vault().begin_run(point.id).value();
        const auto writer = run->open_disk("vda", ByteCount{before.size()}, {}).value();
        REQUIRE(lab.ship(*writer, nullptr, before));
        point.disks.push_back(writer->finish().value());
        REQUIRE(run->flush());
        REQUIRE(run->publish(point));
        vm.info.disks[0].bitmaps = {
            {document.disks[0].new_bitmap, hypervisor::BitmapState::usable, true, chunk_bytes}};
    }

    Result<CheckReport> verify(const std::string& disk = "vda") {
        const BackupServices services{
            .clock = clock,
            .vault = lab.vault(),
            .vm = vm,
            .reporter = reporter,
            .connect_guest = {},
            .connect_nbd = [this](const capture::NbdAddress&, const env::CancelToken&)
                -> Result<std::unique_ptr<capture::NbdSource>> {
                SP_TRY(journal.call("nbd.connect"));
                before_reading();
                // The fake export names no context: the first of two connections is the bitmap's.
                const bool bitmap = tracked() && ++connections == 1;
                return std::make_unique<fakes::PlainDisk>(
                    now, bitmap ? written : extents::whole(ByteCount{now.size()}));
            },
            .spawn_keeper = [this]() -> Result<std::unique_ptr<keeper::KeeperHandle>> {
                SP_TRY(journal.call("keeper.spawn"));
                return std::make_unique<fakes::FakeKeeper>(journal);
            }};
        return run_verify_live(services, {.point = point.id, .disk = disk}, options, cancel);
    }
    [[nodiscard]] bool tracked() const { return !vm.planned.disks.at(0).parent_bitmap.empty(); }
    extents::ExtentSet write(std::uint64_t first, std::uint64_t count) {
        const auto from = now.begin() + static_cast<std::ptrdiff_t>(first * chunk_bytes);
        std::fill_n(from, count * chunk_bytes, std::byte{0x5a});
        return {{ByteOffset{first * chunk_bytes}, ByteCount{count * chunk_bytes}}};
    }

    vault::MemoryStore store;
    test::VaultLab lab{store};
    Bytes before = test::random_disk(blocks * chunk_bytes - 512, 42);
    Bytes now = before;
    extents::ExtentSet written;
    vault::Point point;
    fakes::Journal journal;
    env::SystemClock clock;
    LiveVm vm{journal, clock};
    fakes::SilentReporter reporter;
    env::CancelToken cancel;
    Result<env::TemporaryFolder> folder = env::TemporaryFolder::create("/tmp", "sp-live-");
    BackupOptions options;
    std::function<void()> before_reading = [] {};
    int connections = 0;
};

}  // namespace

TEST_CASE("route/verify_live: what was not written since the point is proven equal") {
    LiveWorld world;
    world.written = world.write(3, 2);
    const auto report = world.verify();
    REQUIRE(report);
    CHECK(report->ok);
    CHECK(report->damage.empty());
    CHECK(report->written_since == 2 * chunk_bytes);
    CHECK(report->note.empty());
    // A snapshot of its own that changes no bitmap, and is not published.
    CHECK(world.vm.planned.disks.at(0).parent_bitmap ==
          bitmap_name(world.lab.vault().short_id(), world.point.id));
    CHECK(world.vm.planned.disks.at(0).new_bitmap.empty());
    CHECK_FALSE(world.journal.called("vm.remove_bitmaps"));
    CHECK(world.journal.called("snapshot.prove_alive"));
    CHECK(world.journal.called("snapshot.end(failed)"));
    CHECK(world.journal.called("keeper.done"));
    CHECK(std::filesystem::is_empty(world.options.jobs_folder));
    CHECK(world.lab.vault().points().value().size() == 1);
}

TEST_CASE("route/verify_live: a write that tracking does not know is damage, with its ranges") {
    LiveWorld world;
    world.written = world.write(3, 2);
    world.write(10, 3);
    std::size_t zeroed = 20;  // data at the point, zeros in the live disk
    while (world.before[zeroed * chunk_bytes] == std::byte{0}) ++zeroed;
    std::fill_n(world.now.begin() + static_cast<std::ptrdiff_t>(zeroed * chunk_bytes), chunk_bytes,
                std::byte{0});
    const auto report = world.verify();
    REQUIRE(report);
    CHECK_FALSE(report->ok);
    REQUIRE(report->damage.size() == 2);
    CHECK(report->damage[0].offset == 10 * chunk_bytes);
    CHECK(report->damage[0].length == 3 * chunk_bytes);
    CHECK(report->damage[0].disk == "vda");
    CHECK(report->damage[0].text.find("knows of no write") != std::string::npos);
    CHECK(report->damage[1].offset == zeroed * chunk_bytes);
    CHECK(report->damage[1].length == chunk_bytes);
}

TEST_CASE("route/verify_live: without the point's bitmap every difference is reported, and why") {
    LiveWorld world;
    world.vm.info.disks[0].bitmaps.clear();
    world.write(3, 2);
    const auto report = world.verify("");
    REQUIRE(report);
    CHECK_FALSE(report->ok);
    REQUIRE(report->damage.size() == 1);
    CHECK(report->damage[0].length == 2 * chunk_bytes);
    CHECK(report->damage[0].text.find("may have been written") != std::string::npos);
    CHECK(report->note.find("nothing tells what was written") != std::string::npos);
    CHECK(report->written_since == 0);
}

TEST_CASE("route/verify_live: given up, as a backup is, when its scratch has no room left") {
    LiveWorld world;
    std::promise<void> asked;
    std::once_flag once;
    world.vm.room = [&]() -> Status {
        std::call_once(once, [&] { asked.set_value(); });
        return fail(Errc::refused, "snapshot.broken", "the scratch is full");
    };
    auto was_asked = asked.get_future();
    world.before_reading = [&] { was_asked.wait_for(std::chrono::seconds{20}); };
    CHECK(world.verify().error().id == "snapshot.broken");
    CHECK(world.journal.called("snapshot.end(failed)"));
}

TEST_CASE("route/verify_live: a disk that grew or shrank") {
    LiveWorld world;
    SUBCASE("grown: the tail is new, the block at the old end is left out") {
        world.now.resize(world.now.size() + 4 * chunk_bytes, std::byte{1});
        world.vm.info.disks[0].size = ByteCount{world.now.size()};
        const auto report = world.verify();
        REQUIRE(report);
        CHECK(report->ok);
        CHECK(report->written_since == chunk_bytes - 512);
    }
    SUBCASE("shrunk: what is gone differs, and tracking is not believed") {
        world.now.resize(world.now.size() - 4 * chunk_bytes);
        world.vm.info.disks[0].size = ByteCount{world.now.size()};
        const auto report = world.verify();
        REQUIRE(report);
        REQUIRE(report->damage.size() == 1);
        CHECK(report->damage[0].offset == (blocks - 5) * chunk_bytes);
        CHECK(report->damage[0].offset + report->damage[0].length == world.before.size());
        CHECK(report->damage[0].text.find("the live disk ends") != std::string::npos);
        CHECK(report->note.find("shrank") != std::string::npos);
    }
}

TEST_CASE("route/verify_live: another VM, a VM that is off, unknown disks are refused") {
    LiveWorld world;
    SUBCASE("another VM") {
        world.vm.info.uuid = "99999999-2222-3333-4444-555555555555";
        CHECK(world.verify().error().id == "verify.other_vm");
    }
    SUBCASE("off") {
        world.vm.info.state = hypervisor::VmState::shut_off;
        CHECK(world.verify().error().id == "vm.not_running");
    }
    SUBCASE("not of the point") {
        CHECK(world.verify("vdb").error().id == "point.no_such_disk");
    }
    SUBCASE("not of the VM") {
        world.vm.info.disks[0].name = "vdz";
        CHECK(world.verify().error().id == "vm.no_such_disk");
    }
    CHECK(world.journal.calls().empty());
}

TEST_CASE("route/verify_live: whatever fails, the snapshot is ended and nothing stays") {
    LiveWorld whole;
    REQUIRE(whole.verify());
    const std::vector<std::string> steps = whole.journal.calls();
    for (int step = 0; step < static_cast<int>(steps.size()); ++step) {
        CAPTURE(steps[static_cast<std::size_t>(step)]);
        LiveWorld world{step};
        CHECK_FALSE(world.verify());
        const bool planned = world.journal.called("keeper.watch");
        CHECK(world.journal.called("snapshot.end(failed)") == planned);
        CHECK_FALSE(world.journal.called("snapshot.end(published)"));
        const bool folder_left = std::filesystem::exists(world.options.jobs_folder) &&
                                 !std::filesystem::is_empty(world.options.jobs_folder);
        // A snapshot that could not be ended is left to the keeper, with its folder.
        CHECK(folder_left == (world.journal.failed() == "snapshot.end(failed)"));
    }
}
