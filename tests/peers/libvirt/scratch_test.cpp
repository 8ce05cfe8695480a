#include <doctest/doctest.h>

#include "backup_steps.hpp"
#include "victims.hpp"

namespace {

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::Snapshot;

constexpr std::uint64_t mib = 1u << 20;
const std::string point_1 = "stillpoint-0badcafe-1";
const std::string point_2 = "stillpoint-0badcafe-2";

/// A filesystem of its own for scratch. @threads one
class SmallFilesystem {
public:
    explicit SmallFilesystem(int size_mib) : path_(job_folder()) {
        run({"mount", "-t", "tmpfs", "-o", "mode=0711,size=" + std::to_string(size_mib) + "m",
             "stillpoint", path_});
    }
    SmallFilesystem(const SmallFilesystem&) = delete;
    SmallFilesystem& operator=(const SmallFilesystem&) = delete;
    ~SmallFilesystem() {
        // Lazily: QEMU may still be closing its file.
        static_cast<void>(env::run_process({"umount", "-l", path_}, soon(), env::CancelToken{}));
    }
    [[nodiscard]] env::Path path() const { return path_; }

private:
    env::Path path_;
};

}  // namespace

TEST_CASE("hypervisor/libvirt: scratch beyond its watermark ends the backup, not the guest") {
    TestDomain domain{{{"vda"}}};
    domain.write("vda", 1, 0, 64 * mib);
    const SmallFilesystem small{40};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1, small.path());
    steps.capture();
    domain.write("vda", 2, 0, 4 * mib);
    must(steps.snapshot().prove_alive());
    domain.write("vda", 2, 4 * mib, 20 * mib);
    CHECK(eventually([&] { return !domain.has_job(); }));  // without a word from us
    const Status proof = steps.snapshot().prove_alive();
    CHECK(error_id(proof) == "snapshot.broken");
    CHECK(proof.error().text.find("scratch space") != std::string::npos);
    steps.end(Snapshot::Outcome::failed);
    CHECK(domain.checkpoints().empty());
}

TEST_CASE("hypervisor/libvirt: too little room for scratch is refused before the freeze") {
    TestDomain domain{{{"vda"}}};
    const SmallFilesystem small{8};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1, small.path());
    CHECK(error_id(steps.snapshot().prepare(soon(), env::CancelToken{})) == "scratch.no_space");
}

TEST_CASE("hypervisor/libvirt: a guest that outruns the watermark runs on") {
    TestDomain domain{{{"vda"}}, Guest::writes};
    REQUIRE(eventually([&] { return domain.written_bytes("vda") > 0; }));
    const SmallFilesystem small{24};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1, small.path());
    must(steps.snapshot().prepare(soon(), env::CancelToken{}));
    // Nearly all of the space vanishes at once: no watermark can warn.
    run({"fallocate", "-l", "23M", small.path() / "hog"});
    must(steps.snapshot().take(soon()));
    must(steps.snapshot().open_exports(soon()));
    Status proof;
    CHECK(eventually([&] {
        proof = steps.snapshot().prove_alive();
        return !proof.has_value();
    }));
    CHECK(error_id(proof) == "snapshot.broken");
    // Whether the watermark or the paused guest is noticed first is a race; both end the attempt.
    // Once the guest stood still somebody says for how long.
    CHECK(eventually([&] { return domain.state() == "running"; }));
    const std::string text = steps.snapshot().prove_alive().error().text;
    const auto stood = text.find("resumed after ");
    if (stood != std::string::npos) CHECK(std::stoi(text.substr(stood + 14)) < 2000);
    MESSAGE(text);
    steps.end(Snapshot::Outcome::failed);
    CHECK(domain.state() == "running");
    const auto written = domain.written_bytes("vda");
    CHECK(eventually([&] { return domain.written_bytes("vda") > written + mib; }));
    CHECK(domain.checkpoints().empty());
}

TEST_CASE("hypervisor/libvirt: a guest stopped by a dead owner's scratch runs on") {
    TestDomain domain{{{"vda"}}, Guest::writes};
    REQUIRE(eventually([&] { return domain.written_bytes("vda") > 0; }));
    const SmallFilesystem small{24};
    Owner owner{domain, "exported", point_1, small.path()};
    const auto order = owner.order();
    owner.die();
    REQUIRE(eventually([&] { return domain.state() == "paused"; }));  // nobody watches any more
    must(hypervisor::clean_up_libvirt(order, soon()));
    CHECK(domain.state() == "running");
}

TEST_CASE("hypervisor/libvirt: a configured budget ends the backup though there is room") {
    TestDomain domain{{{"vda", "qcow2", 192}}};
    domain.write("vda", 1, 0, 128 * mib);
    BackupSteps steps{domain.name()};
    steps.scratch_budget = ByteCount{32 * mib};
    steps.plan({"vda"}, "", point_1);
    steps.capture();
    domain.write("vda", 2, 0, 4 * mib);
    must(steps.snapshot().prove_alive());
    domain.write("vda", 2, 4 * mib, 20 * mib);
    CHECK(eventually([&] { return !domain.has_job(); }));
    CHECK(error_id(steps.snapshot().prove_alive()) == "snapshot.broken");
    steps.end(Snapshot::Outcome::failed);
}

TEST_CASE("hypervisor/libvirt: space that others took ends the backup as well") {
    TestDomain domain{{{"vda", "qcow2", 192}}};
    domain.write("vda", 1, 0, 64 * mib);
    const SmallFilesystem small{64};
    BackupSteps steps{domain.name()};
    steps.plan({"vda"}, "", point_1, small.path());
    steps.capture();
    domain.write("vda", 2, 0, 8 * mib);
    const auto look = steps.snapshot().room_check();
    must(look());
    run({"fallocate", "-l", "50M", small.path() / "another-backup"});
    CHECK(error_id(look()) == "snapshot.broken");
    CHECK(eventually([&] { return !domain.has_job(); }));  // the look told the guard
    steps.end(Snapshot::Outcome::failed);
    CHECK(domain.state() == "paused");  // as it was: it is not ours to resume
}
