// A VM that is started while its disks are backed up: it always starts, and the attempt is given
// up.
#include <signal.h>

#include "images.hpp"

using namespace stillpoint;
using namespace stillpoint::test;

namespace {

struct Attempt {
    OffLab lab;
    env::Path image = lab.add("vda");
    std::unique_ptr<hypervisor::Vm> vm = lab.open();
    Attempt() {
        write_offline(image, "write -P 3 1M 1M");
        need(vm->inspect(soon()));
        need(take_backup(*vm, lab.plan("", "p1")));
        need(vm->inspect(soon()));
    }
    std::string outcome(const Steps& steps) {
        const auto taken = take_backup(*vm, lab.plan("p1", "p2"), steps);
        return failure_of(taken);
    }
    void next_run_is_right(const std::string& dirty) {
        need(vm->inspect(soon()));
        const auto taken = need(take_backup(*vm, lab.plan("p1", "p3")));
        CHECK(taken.dirty.at("vda") == dirty);
        CHECK(difference(taken.content.at("vda"), content_of(image)) == "");
        CHECK(bitmaps_in(image) == bitmap_name("p3") + ":auto");
        CHECK(daemons_of(lab) == 0);
    }
};

}  // namespace

TEST_CASE("peers/image: started, written and shut down while it is read") {
    Attempt at;
    CHECK(at.outcome({.while_reading = [&] { write_offline(at.image, "write -P 4 8M 64k"); },
                      .before_proof = {}}) == "image.vm_started");
    CHECK(bitmaps_in(at.image) == bitmap_name("p1") + ":auto");
    at.next_run_is_right("8388608+65536");
}

TEST_CASE("peers/image: started and still running at the proof") {
    Attempt at;
    std::optional<GuestVm> qemu;
    CHECK(at.outcome({.while_reading = {}, .before_proof = [&] {
                          qemu.emplace(at.lab.lab, std::vector<DiskSpec>{{.id = "vda"}});
                          qemu->io("vda", "write -P 4 8M 64k");
                      }}) == "image.vm_started");
    CHECK(qemu->run_state() == "running");
    CHECK(at.vm->inspect(soon()).error().id == "image.in_use");
    qemu->quit();
    at.next_run_is_right("8388608+65536");
}

TEST_CASE("peers/image: started without a write, and shut down: a QEMU that opens qcow2 is seen") {
    Attempt at;
    CHECK(at.outcome({.while_reading =
                          [&] {
                              GuestVm qemu{at.lab.lab, {{.id = "vda"}}};
                              qemu.quit();
                          },
                      .before_proof = {}}) == "image.vm_started");
    at.next_run_is_right("");
}

TEST_CASE("peers/image: written between the look and the backup") {
    Attempt at;
    write_offline(at.image, "write -P 4 8M 64k");
    CHECK(at.outcome({}) == "image.vm_started");
    at.next_run_is_right("8388608+65536");
}

TEST_CASE("peers/image: a raw image leaves no trace but its times, and they are enough") {
    OffLab lab;
    const env::Path image = lab.add("vda", "raw");
    const auto vm = lab.open();
    need(vm->inspect(soon()));
    const auto taken =
        take_backup(*vm, lab.plan("", "p1"),
                    {.while_reading = [&] { write_offline(image, "write -P 4 8M 64k", "raw"); },
                     .before_proof = {}});
    CHECK(failure_of(taken) == "image.vm_started");
    need(vm->inspect(soon()));
    const auto again = need(take_backup(*vm, lab.plan("", "p2")));
    CHECK(difference(again.content.at("vda"), content_of(image, "raw")) == "");
}

TEST_CASE("peers/image: an image that a QEMU has open is refused with its path") {
    OffLab lab;
    const env::Path image = lab.add("vda");
    const GuestVm qemu{lab.lab, {{.id = "vda"}}};
    const auto refused = lab.open()->inspect(soon());
    CHECK(refused.error().id == "image.in_use");
    CHECK(refused.error().text.find(image.string()) != std::string::npos);
    CHECK_FALSE(refused.error().remedy.empty());
}

TEST_CASE(
    "peers/image: a ban, as block devices get it, keeps QEMU from starting and ends with us") {
    OffLab lab;
    const env::Path image = lab.add("vda");
    const auto write = [&] {
        return need(env::run_process({"qemu-io", "-f", "qcow2", "-c", "write 0 64k", image}, soon(),
                                     {}))
            .exit_code;
    };
    {
        const auto ban = hypervisor::image::WriterBan::take(image);
        REQUIRE(ban);
        CHECK(write() == 1);
    }
    CHECK(write() == 0);
}
