#include "abi/vm_access.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::abi;

namespace {

const env::SystemClock real_clock;

std::string parsed(const std::string& given) {
    const auto disk = parse_image(given);
    return disk ? disk->name + " " + disk->format + " " + disk->path : disk.error().id;
}

}  // namespace

TEST_CASE("abi/vm_access: an image is a name and a path, its format never a guess") {
    CHECK(parsed("vda=/srv/vm1.qcow2") == "vda qcow2 /srv/vm1.qcow2");
    CHECK(parsed("vda=/srv/vm1.raw") == "vda raw /srv/vm1.raw");
    CHECK(parsed("vda=raw:/dev/vg/vm1") == "vda raw /dev/vg/vm1");
    CHECK(parsed("vda=qcow2:/srv/a=b.img") == "vda qcow2 /srv/a=b.img");
    CHECK(parsed("vda=raw:/srv/vm1.qcow2") == "vda raw /srv/vm1.qcow2");
    CHECK(parsed("vda=/srv/vm1.img") == "image.format_needed");
    CHECK(parsed("vda=raw:") == "image.format_needed");
    CHECK(parsed("/srv/vm1.qcow2") == "image.option");
    CHECK(parsed("=/srv/vm1.qcow2") == "image.option");
    CHECK(parsed("vda=") == "image.option");
}

TEST_CASE("abi/vm_access: one way to a VM at a time, and images that exist") {
    const auto id = [](const serialization::VmAccess& access) {
        return open_vm(access, real_clock, hypervisor::LibvirtLoop::ours).error().id;
    };
    CHECK(id({.vm = "v", .connect = "qemu:///system", .qmp_socket = "/s", .guest_channel = {}}) ==
          "vm.access");
    CHECK(id({.vm = "v", .connect = {}, .qmp_socket = "/s", .images = {"a=/x.raw"}}) ==
          "vm.access");
    CHECK(id({.vm = "v", .images = {"a=/no/such/image.raw"}}) == "image.missing");
    CHECK(id({.vm = "v", .images = {"a=/dev/null.raw", "a=/x.raw"}}) == "image.missing");
    CHECK(id({.vm = "v", .images = {"a=raw:/dev/null", "a=raw:/dev/null"}}) == "image.twice");
}
