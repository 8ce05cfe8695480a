// The chain of bitmaps on images that no VM has open.
#include <algorithm>

#include "images.hpp"

using namespace stillpoint;
using namespace stillpoint::test;
using hypervisor::BitmapState;
using hypervisor::Snapshot;
using serialization::Map;

TEST_CASE("peers/image: a full backup, then increments; one bitmap of ours at rest") {
    OffLab lab;
    const env::Path image = lab.add("vda");
    write_offline(image, "write -P 5 1M 1M");
    const auto vm = lab.open();
    const auto info = need(vm->inspect(soon()));
    CHECK(info.state == hypervisor::VmState::shut_off);
    CHECK_FALSE(info.clean_shutdown);
    REQUIRE(info.disks.size() == 1);
    CHECK(info.disks[0].size == ByteCount{16 * MiB});
    CHECK(info.disks[0].persistent_bitmaps);

    const auto first = need(take_backup(*vm, lab.plan("", "p1")));
    CHECK(difference(first.content.at("vda"), content_of(image)) == "");
    CHECK(bitmaps_in(image) == bitmap_name("p1") + ":auto");

    write_offline(image, "write -P 6 4M 64k");
    need(vm->inspect(soon()));
    const auto second = need(take_backup(*vm, lab.plan("p1", "p2")));
    CHECK(second.dirty.at("vda") == "4194304+65536");
    CHECK(difference(second.content.at("vda"), content_of(image)) == "");
    CHECK(bitmaps_in(image) == bitmap_name("p2") + ":auto");

    need(vm->inspect(soon()));
    const auto third = need(take_backup(*vm, lab.plan("p2", "p3")));
    CHECK(third.dirty.at("vda").empty());
    CHECK(bitmaps_in(image) == bitmap_name("p3") + ":auto");
    CHECK(is_sound(image));
    CHECK(daemons_of(lab) == 0);
}

TEST_CASE("peers/image: what QEMU recorded while it ran is used offline, and the other way round") {
    OffLab lab;
    const std::vector<DiskSpec> specs{{.id = "vda"}};
    const env::Path image = lab.add("vda");
    {
        GuestVm qemu{lab.lab, specs};
        const auto driver = qemu.open();
        const auto snapshot = need(driver->plan_snapshot(lab.plan("", "p1")));
        need(snapshot->prepare(soon(), {}));
        need(snapshot->take(soon()));
        need(snapshot->open_exports(soon()));
        need(snapshot->prove_alive());
        need(snapshot->end(Snapshot::Outcome::published, soon()));
        qemu.io("vda", "write -P 7 2M 64k");
        qemu.quit();
    }
    const auto vm = lab.open();
    const auto info = need(vm->inspect(soon()));
    REQUIRE(info.disks[0].bitmaps.size() == 1);
    CHECK(info.disks[0].bitmaps[0].state == BitmapState::usable);
    const auto offline = need(take_backup(*vm, lab.plan("p1", "p2")));
    CHECK(offline.dirty.at("vda") == "2097152+65536");

    GuestVm qemu{lab.lab, specs};
    qemu.io("vda", "write -P 8 6M 64k");
    const auto driver = qemu.open();
    CHECK(need(driver->inspect(soon())).disks[0].path == image.string());
    const auto snapshot = need(driver->plan_snapshot(lab.plan("p2", "p3")));
    need(snapshot->prepare(soon(), {}));
    need(snapshot->take(soon()));
    const auto view = need(snapshot->open_exports(soon())).front();
    CHECK(dirty_map(view) == "6291456+65536");
    CHECK(difference(read_export(view, lab.path()), qemu.content("vda")) == "");
    need(snapshot->prove_alive());
    need(snapshot->end(Snapshot::Outcome::published, soon()));
    CHECK(qemu.bitmaps("vda") == std::vector<std::string>{bitmap_name("p3")});
}

TEST_CASE("peers/image: a broken bitmap and an orphan go with the next one, others' stay") {
    OffLab lab;
    const env::Path image = lab.add("vda");
    for (const char* name : {"p0", "p1"}) {
        run({"qemu-img", "bitmap", "--add", "-f", "qcow2", image, bitmap_name(name)});
    }
    run({"qemu-img", "bitmap", "--add", "-f", "qcow2", image, "of-somebody"});
    {
        GuestVm qemu{lab.lab, {{.id = "vda"}}};
        qemu.io("vda", "write -P 1 0 64k");
        qemu.kill();
    }
    const auto vm = lab.open();
    const auto info = need(vm->inspect(soon()));
    REQUIRE(info.disks[0].bitmaps.size() == 2);
    CHECK(info.disks[0].bitmaps[0].state == BitmapState::inconsistent);
    need(vm->remove_bitmaps({{"vda", {bitmap_name("p0"), bitmap_name("p1")}}}, soon()));
    CHECK(vm->remove_bitmaps({{"vda", {"of-somebody"}}}, soon()).error().id == "bitmap.foreign");
    need(take_backup(*vm, lab.plan("", "p2")));
    CHECK(bitmaps_in(image) == "of-somebody:in-use+auto " + bitmap_name("p2") + ":auto");
    CHECK(is_sound(image));
}

TEST_CASE("peers/image: a failed attempt keeps the parent and drops the new bitmap") {
    OffLab lab;
    const env::Path image = lab.add("vda");
    const auto vm = lab.open();
    need(vm->inspect(soon()));
    need(take_backup(*vm, lab.plan("", "p1")));
    need(vm->inspect(soon()));
    const auto snapshot = need(vm->plan_snapshot(lab.plan("p1", "p2")));
    need(snapshot->prepare(soon(), {}));
    need(snapshot->take(soon()));
    need(snapshot->open_exports(soon()));
    need(snapshot->prove_alive());
    CHECK(bitmaps_in(image) == bitmap_name("p1") + ":auto " + bitmap_name("p2") + ":auto");
    need(snapshot->end(Snapshot::Outcome::failed, soon()));
    CHECK(bitmaps_in(image) == bitmap_name("p1") + ":auto");
    CHECK(daemons_of(lab) == 0);
}

TEST_CASE("peers/image: four disks change their bitmaps together") {
    OffLab lab;
    std::vector<env::Path> images;
    for (const char* name : {"vda", "vdb", "vdc"}) images.push_back(lab.add(name));
    lab.add("vdd", "raw");
    const auto vm = lab.open();
    need(vm->inspect(soon()));
    need(take_backup(*vm, lab.plan("", "p1")));
    for (const env::Path& image : images) {
        CHECK(bitmaps_in(image) == bitmap_name("p1") + ":auto");
    }
}

TEST_CASE("bench: how long images are locked while their bitmaps change" * doctest::skip()) {
    for (const int count : {1, 4}) {
        OffLab lab;
        for (int i = 0; i < count; ++i) lab.add("vd" + std::to_string(i));
        const auto vm = lab.open();
        need(vm->inspect(soon()));
        std::vector<double> ms;
        for (int round = 0; round < 11; ++round) {
            need(vm->inspect(soon()));
            const auto snapshot = need(vm->plan_snapshot(lab.plan("", std::to_string(round))));
            need(snapshot->prepare(soon(), {}));
            need(snapshot->take(soon()));
            need(snapshot->open_exports(soon()));
            const auto start = real_clock.monotonic();
            need(snapshot->prove_alive());
            ms.push_back(env::to_ms(real_clock.monotonic() - start));
            need(snapshot->end(Snapshot::Outcome::failed, soon()));
        }
        std::sort(ms.begin(), ms.end());
        MESSAGE(count << " disks: median " << ms[5] << " ms, max " << ms.back() << " ms");
    }
}
