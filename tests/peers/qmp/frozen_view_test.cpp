// What the reader sees through a snapshot, proven against a real QEMU.
#include <atomic>
#include <random>
#include <thread>

#include "guest_vm.hpp"

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::Snapshot;
using hypervisor::qmp::ModeChoice;

namespace {

const std::vector<DiskSpec> two_disks{{.id = "vda"}, {.id = "vdb", .size = 24 * MiB + 512}};

// Every kind of change that could leak into the view.
void disturb(GuestVm& vm, const std::string& disk) {
    vm.io(disk, "write -P 0x66 1M 128k");
    vm.io(disk, "write -P 0x67 5M 4k");
    vm.io(disk, "write -z 2M 256k");
    vm.io(disk, "write -z -u 3M 64k");
    vm.io(disk, "discard 4M 512k");
}

void prove_frozen(ModeChoice mode) {
    Lab lab;
    for (const auto& disk : two_disks) lab.make_disk(disk);
    GuestVm vm{lab, two_disks};
    for (const auto& disk : two_disks) vm.io(disk.id, "write -P 0x11 0 6M");
    const std::string before = vm.inventory();
    const Bytes vda = vm.content("vda");
    const Bytes vdb = vm.content("vdb");

    const auto driver = vm.open();
    driver->choose_mode(mode);
    const auto snapshot = need(driver->plan_snapshot(plan_of(lab, {"vda", "vdb"}, "", "p1")));
    need(snapshot->prepare(soon(), {}));
    const auto times = need(snapshot->take(soon()));
    CHECK(times.after > times.before);
    CHECK(vm.run_state() == "running");
    disturb(vm, "vda");
    disturb(vm, "vdb");
    const auto exports = need(snapshot->open_exports(soon()));
    REQUIRE(exports.size() == 2);
    disturb(vm, "vda");
    CHECK(difference(read_export(exports[0], lab.path()), vda) == "");
    CHECK(difference(read_export(exports[1], lab.path()), vdb) == "");
    CHECK(vm.content("vda") != vda);
    CHECK(exports[0].dirty_context.empty());
    need(snapshot->prove_alive());
    need(snapshot->end(Snapshot::Outcome::published, soon()));
    need(snapshot->end(Snapshot::Outcome::published, soon()));
    CHECK(vm.inventory() == before);
    CHECK(vm.bitmaps("vda") == std::vector<std::string>{"stillpoint-00000000-p1"});
    CHECK(snapshot->prove_alive().error().id == "snapshot.broken");
}

}  // namespace

TEST_CASE("peers/qmp: the view stays frozen under writes, zeroes and discards on two disks") {
    SUBCASE("copy-before-write") {
        prove_frozen(ModeChoice::safest);
    }
    SUBCASE("backup-job") {
        prove_frozen(ModeChoice::only_backup_job);
    }
}

TEST_CASE("peers/qmp: the view stays frozen while the guest writes during the read") {
    Lab lab;
    const DiskSpec disk{.id = "vda", .size = 24 * MiB};
    lab.make_disk(disk);
    GuestVm vm{lab, {disk}};
    vm.io("vda", "write -P 0x11 0 24M");
    const Bytes before = vm.content("vda");
    ModeChoice mode = ModeChoice::safest;
    SUBCASE("copy-before-write") {}
    SUBCASE("backup-job") {
        mode = ModeChoice::only_backup_job;
    }
    const auto driver = vm.open();
    driver->choose_mode(mode);
    const auto snapshot = need(driver->plan_snapshot(plan_of(lab, {"vda"}, "", "p1")));
    need(snapshot->prepare(soon(), {}));
    (void)need(snapshot->take(soon()));
    const auto view = need(snapshot->open_exports(soon())).front();
    // The writer owns the test's monitor until it has ended; at least 60 writes meet the reads.
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        std::mt19937 random{7};
        for (int n = 0; n < 60 || !stop; ++n) {
            const std::string where = std::to_string(random() % 380 * 64) + "k ";
            vm.io("vda", (n % 3 == 0 ? "write -z " : "write -P 9 ") + where + "192k");
        }
    });
    const std::string first = difference(read_export(view, lab.path()), before);
    const std::string second = difference(read_export(view, lab.path()), before);
    stop = true;
    writer.join();
    CHECK(first == "");
    CHECK(second == "");
    CHECK(difference(read_export(view, lab.path()), before) == "");
    need(snapshot->prove_alive());
    need(snapshot->end(Snapshot::Outcome::published, soon()));
    CHECK(difference(vm.content("vda"), before) != "");
}

namespace {

/// A way in which users attach disks, and how the disk is then called.
struct Attachment {
    std::string disk;
    std::vector<std::string> words;
};

Attachment attach(const std::string& how, const std::string& image) {
    const std::string blockdev =
        "driver=qcow2,node-name=n0,file.driver=file,file.filename=" + image;
    const std::string drive = "file=" + image + ",format=qcow2";
    if (how == "-drive if=virtio") return {"virtio0", {"-drive", drive + ",if=virtio"}};
    if (how == "-drive with a device without id") {
        return {"root",
                {"-drive", drive + ",if=none,id=root", "-device", "virtio-blk-pci,drive=root"}};
    }
    if (how == "scsi-hd") {
        return {"sda",
                {"-device", "virtio-scsi-pci", "-blockdev", blockdev, "-device",
                 "scsi-hd,id=sda,drive=n0"}};
    }
    if (how == "scsi-hd in an iothread") {
        return {"sda",
                {"-object", "iothread,id=io0", "-device", "virtio-scsi-pci,iothread=io0",
                 "-blockdev", blockdev, "-device", "scsi-hd,id=sda,drive=n0"}};
    }
    if (how == "iothread") {
        return {"vda",
                {"-object", "iothread,id=io0", "-blockdev", blockdev, "-device",
                 "virtio-blk-pci,id=vda,drive=n0,iothread=io0"}};
    }
    if (how == "below a throttle filter") {
        return {"vda",
                {"-object", "throttle-group,id=group,x-iops-total=100000", "-blockdev", blockdev,
                 "-blockdev", "driver=throttle,node-name=top,throttle-group=group,file=n0",
                 "-device", "virtio-blk-pci,id=vda,drive=top"}};
    }
    return {"vda",
            {"-blockdev", blockdev, "-blockdev", "driver=raw,node-name=top,file=n0", "-device",
             "virtio-blk-pci,id=vda,drive=top"}};
}

}  // namespace

TEST_CASE("peers/qmp: disks are found and frozen however they are attached") {
    for (const std::string how :
         {"-drive if=virtio", "-drive with a device without id", "scsi-hd",
          "scsi-hd in an iothread", "iothread", "below a throttle filter", "below a raw node"}) {
        CAPTURE(how);
        Lab lab;
        const env::Path image = lab.make_disk({.id = "image", .size = 4 * MiB});
        const Attachment attachment = attach(how, image);
        GuestVm vm{lab, {}, Boot::running, attachment.words};
        const std::string before = vm.inventory();
        const auto driver = vm.open();
        const auto info = need(driver->inspect(soon()));
        REQUIRE(info.disks.size() == 1);
        const std::string name = info.disks[0].name;
        CHECK(name == attachment.disk);
        CHECK(info.disks[0].format == "qcow2");
        CHECK(info.disks[0].path == image.string());
        CHECK(info.disks[0].persistent_bitmaps);
        const std::string device = vm.ask("query-block").array()->front().text_or("qdev");
        vm.io_at(device, "write -P 1 0 4M");
        auto planned = driver->plan_snapshot(plan_of(lab, {name}, "", "p1"));
        const bool crashes = driver->version() < hypervisor::qmp::iothread_exports_since;
        if (crashes && how.find("iothread") != std::string::npos) {
            REQUIRE_FALSE(planned);
            CHECK(planned.error().id == "qmp.iothread");
            continue;
        }
        const auto snapshot = need(std::move(planned));
        need(snapshot->prepare(soon(), {}));
        CHECK(need(snapshot->take(soon())).mode == "copy-before-write");
        vm.io_at(device, "write -P 2 1M 1M");
        const auto view = need(snapshot->open_exports(soon())).front();
        CHECK(difference(read_export(view, lab.path()), Bytes(4 * MiB, std::byte{1})) == "");
        need(snapshot->prove_alive());
        need(snapshot->end(Snapshot::Outcome::published, soon()));
        CHECK(vm.inventory() == before);
        const auto after = need(driver->inspect(soon()));
        REQUIRE(after.disks[0].bitmaps.size() == 1);
        CHECK(after.disks[0].bitmaps[0].name == bitmap_name("p1"));
        CHECK(after.disks[0].bitmaps[0].persistent);
    }
}
