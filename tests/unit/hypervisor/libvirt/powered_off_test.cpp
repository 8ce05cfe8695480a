#include "hypervisor/libvirt/powered_off.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::hypervisor;
using namespace stillpoint::hypervisor::libvirt;

namespace {

/// Facts of a domain that is off, with these disks in its XML.
Facts facts_with(const std::string& disks) {
    Facts facts;
    facts.xml =
        parse_domain("<domain><name>web1</name><devices>" + disks + "</devices></domain>").value();
    return facts;
}

std::string file_disk(const std::string& name, const std::string& inside) {
    return "<disk type='file'><driver type='qcow2'/><source file='/srv/" + name +
           ".qcow2'/><target dev='" + name + "'/>" + inside + "</disk>";
}

DiskInfo holding(const std::string& name, const std::string& bitmap) {
    DiskInfo disk;
    disk.name = name;
    disk.bitmaps = {{bitmap, BitmapState::usable, true, 65536}};
    return disk;
}

}  // namespace

TEST_CASE("libvirt/powered_off: a disk is the same one whether its domain runs or not") {
    const auto images = images_of(facts_with(file_disk("vda", "<serial>S1</serial>")));
    REQUIRE(images.size() == 1);
    CHECK(images[0].name == "vda");
    CHECK(images[0].path == "/srv/vda.qcow2");
    CHECK(images[0].format == "qcow2");
    CHECK(images[0].serial == "S1");
    CHECK(images[0].serial_known);
    CHECK(images[0].unreadable.empty());
}

TEST_CASE("libvirt/powered_off: what only libvirt and QEMU can open says so, and spoils no other") {
    const auto images = images_of(facts_with(
        file_disk("vda", "") + file_disk("vdb", "<encryption format='luks'/>") +
        "<disk type='file'><source file='/c'><encryption format='luks'/></source>"
        "<target dev='vdc'/></disk>"
        "<disk type='file'><source file='/d'><slices><slice type='storage' offset='512' "
        "size='512'/></slices></source><target dev='vdd'/></disk>"
        "<disk type='network'><source protocol='rbd' name='pool/e'/><target dev='vde'/></disk>"));
    REQUIRE(images.size() == 5);
    CHECK(images[0].unreadable.empty());
    CHECK(images[1].unreadable.find("/srv/vdb.qcow2 is encrypted") == 0);
    CHECK(images[2].unreadable.find("/c is encrypted") == 0);
    CHECK(images[3].unreadable.find("a part of /d") != std::string::npos);
    CHECK(images[4].unreadable.find("rbd:pool/e") == 0);
}

TEST_CASE("libvirt/powered_off: only a shutdown without a saved state is proof") {
    CHECK(ended_cleanly(VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SHUTDOWN, 0));
    CHECK_FALSE(ended_cleanly(VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SHUTDOWN, 1));
    CHECK_FALSE(ended_cleanly(VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SHUTDOWN, -1));
    for (const int reason :
         {VIR_DOMAIN_SHUTOFF_UNKNOWN, VIR_DOMAIN_SHUTOFF_DESTROYED, VIR_DOMAIN_SHUTOFF_CRASHED,
          VIR_DOMAIN_SHUTOFF_MIGRATED, VIR_DOMAIN_SHUTOFF_SAVED, VIR_DOMAIN_SHUTOFF_FAILED,
          VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT, VIR_DOMAIN_SHUTOFF_DAEMON}) {
        CHECK_FALSE(ended_cleanly(VIR_DOMAIN_SHUTOFF, reason, 0));
    }
    CHECK_FALSE(ended_cleanly(VIR_DOMAIN_CRASHED, VIR_DOMAIN_SHUTOFF_SHUTDOWN, 0));
}

TEST_CASE("libvirt/powered_off: a checkpoint is forgotten with the last of its bitmaps") {
    VmInfo vm;
    vm.disks = {holding("vda", "stillpoint-1-n"), holding("vdb", "stillpoint-1-n")};
    using Names = std::vector<std::string>;
    CHECK(forgotten_with(vm, {{"vda", {"stillpoint-1-n"}}}).empty());
    CHECK(forgotten_with(vm, {{"vda", {"stillpoint-1-n"}}, {"vdb", {"stillpoint-1-n"}}}) ==
          Names{"stillpoint-1-n"});
    CHECK(forgotten_with(vm, {{"vda", {"stillpoint-1-gone"}}}) == Names{"stillpoint-1-gone"});
}
