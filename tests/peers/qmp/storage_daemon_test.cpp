// The same driver on qemu-storage-daemon: disks without a guest.
#include "env/poll.hpp"
#include "guest_vm.hpp"

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::Snapshot;
using hypervisor::qmp::QmpVm;

namespace {

class StorageDaemon {
public:
    StorageDaemon(const Lab& lab, const env::Path& image) : socket_(lab.vm_folder() / "qsd.sock") {
        env::SpawnOptions options;
        options.arguments = {
            "qemu-storage-daemon",
            "--chardev",
            "socket,id=m,path=" + socket_.string() + ",server=on,wait=off",
            "--monitor",
            "chardev=m",
            "--blockdev",
            "driver=qcow2,node-name=vda,file.driver=file,file.filename=" + image.string()};
        process_ = std::make_unique<env::Child>(need(env::Child::spawn(options)));
    }
    std::unique_ptr<QmpVm> open() const {
        const env::Deadline deadline = soon();
        while (true) {
            auto driver = QmpVm::open(socket_, "disks", real_clock);
            if (driver) return std::move(*driver);
            if (deadline.passed()) FAIL(driver.error().text);
            need(env::pause(std::chrono::milliseconds{5}, {}));
        }
    }

private:
    env::Path socket_;
    std::unique_ptr<env::Child> process_;
};

}  // namespace

TEST_CASE("peers/qmp: a storage daemon's disk is listed, read and given a bitmap") {
    Lab lab{QemuUser::ours};
    const env::Path image = lab.make_disk({.id = "vda", .size = 4 * MiB});
    run({"qemu-io", "-f", "qcow2", "-c", "write -P 5 1M 1M", image});
    const StorageDaemon daemon{lab, image};
    const auto driver = daemon.open();
    const auto info = need(driver->inspect(soon()));
    CHECK(info.state == hypervisor::VmState::shut_off);
    CHECK_FALSE(info.clean_shutdown);
    CHECK(info.uuid.empty());
    REQUIRE(info.disks.size() == 1);
    CHECK(info.disks[0].name == "vda");
    CHECK(info.disks[0].path == image.string());

    const auto snapshot = need(driver->plan_snapshot(plan_of(lab, {"vda"}, "", "p1")));
    need(snapshot->prepare(soon(), {}));
    CHECK(need(snapshot->take(soon())).mode == "backup-job");
    const auto view = need(snapshot->open_exports(soon())).front();
    Bytes expected(4 * MiB);
    std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(MiB), MiB, std::byte{5});
    CHECK(difference(read_export(view, lab.path()), expected) == "");
    need(snapshot->prove_alive());
    need(snapshot->end(Snapshot::Outcome::published, soon()));
    const auto after = need(driver->inspect(soon()));
    REQUIRE(after.disks.size() == 1);
    REQUIRE(after.disks[0].bitmaps.size() == 1);
    CHECK(after.disks[0].bitmaps[0].name == bitmap_name("p1"));
}
