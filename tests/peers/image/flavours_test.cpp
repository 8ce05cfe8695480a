// Every image that QEMU can open without a secret; what it cannot is named.
#include <filesystem>

#include "images.hpp"

using namespace stillpoint;
using namespace stillpoint::test;

namespace {

// A full backup and an increment, both equal to what qemu-img reads of the same image.
void two_rounds(OffLab& lab, const env::Path& image) {
    const auto vm = lab.open();
    need(vm->inspect(soon()));
    const auto first = need(take_backup(*vm, lab.plan("", "p1")));
    CHECK(difference(first.content.at("vda"), content_of(image)) == "");
    CHECK(bitmaps_in(image) == bitmap_name("p1") + ":auto");
    write_offline(image, "write -P 9 3M 64k");
    need(vm->inspect(soon()));
    const auto second = need(take_backup(*vm, lab.plan("p1", "p2")));
    CHECK(second.dirty.at("vda") == "3145728+65536");
    CHECK(difference(second.content.at("vda"), content_of(image)) == "");
    CHECK(bitmaps_in(image) == bitmap_name("p2") + ":auto");
    CHECK(is_sound(image));
}

}  // namespace

TEST_CASE("peers/image: extended L2 and small clusters") {
    OffLab lab;
    const env::Path image = lab.add("vda", "qcow2", "extended_l2=on,cluster_size=128k");
    write_offline(image, "write -P 5 1M 1M");
    two_rounds(lab, image);
}

TEST_CASE("peers/image: an external data file") {
    OffLab lab;
    const env::Path data = lab.path() / "vm/vda.data";
    const env::Path image = lab.add("vda", "qcow2", "data_file=" + data.string());
    write_offline(image, "write -P 5 1M 1M");
    two_rounds(lab, image);
    // The guest's writes go there: they must not be overlooked.
    const auto vm = lab.open();
    need(vm->inspect(soon()));
    const auto taken =
        take_backup(*vm, lab.plan("p2", "p3"),
                    {.while_reading = [&] { write_offline(data, "write -P 1 0 4k", "raw"); },
                     .before_proof = {}});
    CHECK(failure_of(taken) == "image.vm_started");
}

TEST_CASE("peers/image: a backing chain; only the active layer gets a bitmap") {
    OffLab lab;
    const env::Path base = lab.lab.make_disk({.id = "base"});
    write_offline(base, "write -P 5 1M 2M");
    const env::Path middle = lab.path() / "vm/middle.qcow2";
    run({"qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", middle});
    write_offline(middle, "write -P 6 2M 2M");
    const env::Path top = lab.path() / "vm/top.qcow2";
    run({"qemu-img", "create", "-q", "-f", "qcow2", "-b", middle, "-F", "qcow2", top});
    lab.take("vda", top, "qcow2");
    two_rounds(lab, top);
    CHECK(bitmaps_in(base).empty());
    CHECK(bitmaps_in(middle).empty());
    // A commit into a layer below changes what the disk shows.
    const auto vm = lab.open();
    need(vm->inspect(soon()));
    const auto taken = take_backup(
        *vm, lab.plan("p2", "p3"),
        {.while_reading = [&] { write_offline(base, "write -P 1 8M 64k"); }, .before_proof = {}});
    CHECK(failure_of(taken) == "image.vm_started");
}

TEST_CASE("peers/image: compressed clusters") {
    OffLab lab;
    const env::Path plain = lab.lab.make_disk({.id = "plain"});
    write_offline(plain, "write -P 5 1M 4M");
    const env::Path image = lab.path() / "vm/packed.qcow2";
    run({"qemu-img", "convert", "-c", "-f", "qcow2", "-O", "qcow2", plain, image});
    lab.take("vda", image, "qcow2");
    two_rounds(lab, image);
}

TEST_CASE(
    "peers/image: raw, old qcow2 and a size that fills no chunk hold no bitmap or all of it") {
    OffLab lab;
    const env::Path raw = lab.add("vda", "raw");
    const env::Path old = lab.add("vdb", "qcow2", "compat=0.10");
    write_offline(raw, "write -P 5 1M 1M", "raw");
    write_offline(old, "write -P 6 1M 1M");
    const env::Path odd = lab.lab.make_disk({.id = "vdc", .size = 3 * MiB + 512});
    lab.take("vdc", odd, "qcow2");
    const auto vm = lab.open();
    const auto info = need(vm->inspect(soon()));
    CHECK_FALSE(info.disks[0].persistent_bitmaps);
    CHECK_FALSE(info.disks[1].persistent_bitmaps);
    CHECK(info.disks[2].size == ByteCount{3 * MiB + 512});
    const auto taken = need(take_backup(*vm, lab.plan("", "p1")));
    CHECK(difference(taken.content.at("vda"), content_of(raw, "raw")) == "");
    CHECK(difference(taken.content.at("vdb"), content_of(old)) == "");
    CHECK(taken.content.at("vdc").size() == 3 * MiB + 512);
    CHECK(bitmaps_in(old).empty());
    CHECK(bitmaps_in(odd) == bitmap_name("p1") + ":auto");
}

TEST_CASE("peers/image: what needs a secret or is no image is named, and spoils no other disk") {
    OffLab lab;
    const env::Path good = lab.add("vda");
    const env::Path secret = lab.path() / "vm/secret.qcow2";
    // Deriving its key takes a while on a busy machine. On a fast one qemu-img may find that it
    // took no time ("Unable to get accurate CPU usage"), and gives up.
    const env::Deadline end{real_clock, std::chrono::minutes{2}};
    while (!std::filesystem::exists(secret) && !end.passed()) {
        need(env::run_process(
            {"qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o",
             "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", secret, "16M"},
            end, {}));
    }
    lab.take("vdb", secret, "qcow2");
    const env::Path text = lab.path() / "vm/text.qcow2";
    need(env::write_durably(text, as_bytes("no image"), 0600, lab.path()));
    lab.take("vdc", text, "qcow2");
    const auto vm = lab.open();
    const auto info = need(vm->inspect(soon()));
    CHECK(info.disks[0].unreadable.empty());
    CHECK(info.disks[1].unreadable.find("encrypted") != std::string::npos);
    CHECK(info.disks[2].unreadable.find("not in qcow2 format") != std::string::npos);
    CHECK(vm->plan_snapshot(lab.plan("", "p1")).error().id == "image.unreadable");
    need(take_backup(*vm, plan_of(lab.lab, {"vda"}, "", "p1")));
    CHECK(bitmaps_in(good) == bitmap_name("p1") + ":auto");
}
