#include <doctest/doctest.h>

#include "hypervisor/libvirt/backup_xml.hpp"
#include "hypervisor/libvirt/domain_xml.hpp"
#include "hypervisor/libvirt/keeper_order.hpp"
#include "hypervisor/libvirt/nodes.hpp"

namespace {

using namespace stillpoint;
using namespace stillpoint::hypervisor;
using namespace stillpoint::hypervisor::libvirt;

std::string domain(const std::string& devices, const std::string& after = {}) {
    return "<domain type='kvm' id='7'><name>web1</name><uuid>u-1</uuid><devices>" + devices +
           "</devices>" + after + "</domain>";
}

const std::string live_disk =
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/i/top.qcow2' index='3'/><backingStore type='file'><format type='qcow2'/>"
    "<source file='/i/base.qcow2' index='4'/><backingStore/></backingStore>"
    "<target dev='vda' bus='virtio'/><serial>S&amp;1</serial></disk>";

std::string nodes_answer(const std::string& bitmaps_3, const std::string& bitmaps_4) {
    const auto node = [](const std::string& index, const std::string& bitmaps) {
        return R"({"node-name":"libvirt-)" + index +
               R"(-format","image":{"virtual-size":1048576,"format":"qcow2",)"
               R"("format-specific":{"type":"qcow2","data":{"compat":"1.1"}}},"dirty-bitmaps":[)" +
               bitmaps + "]}";
    };
    return R"({"return":[)" + node("3", bitmaps_3) + "," + node("4", bitmaps_4) + "]}";
}

std::string bitmap(const std::string& name, const std::string& more = {}) {
    return R"({"name":")" + name +
           R"(","recording":true,"persistent":true,"busy":false,"granularity":65536,"count":0)" +
           more + "}";
}

BitmapState state_on(const std::string& active, const std::string& below) {
    const auto nodes = parse_nodes(nodes_answer(active, below));
    REQUIRE(nodes.has_value());
    const auto found = bitmaps_of_ours(*nodes, {3, 4});
    return found.empty() ? BitmapState::absent : found.front().state;
}

}  // namespace

TEST_CASE("hypervisor/libvirt/domain_xml: disks, layers and channel of a live domain") {
    const auto xml = parse_domain(domain(
        live_disk +
            "<disk type='block'><source dev='/dev/vg/x' index='1'/><target dev='vdb'/><readonly/>"
            "<mirror type='file' job='copy'/></disk>"
            "<disk type='network' device='lun'><source protocol='rbd' name='pool/img'/>"
            "<target dev='sda'/></disk>"
            "<disk type='file' device='cdrom'><target dev='sdb'/></disk>"
            "<channel type='unix'><source mode='bind' path='/c/ga'/>"
            "<target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
            "<channel type='unix'><source mode='bind' path='/c/sp'/>"
            "<target type='virtio' name='org.stillpoint.guest.0' state='connected'/></channel>",
        "<seclabel type='dynamic' model='apparmor'><label>x</label></seclabel>"
        "<seclabel type='dynamic' model='dac'><label>+64055:+107</label></seclabel>"));
    REQUIRE(xml.has_value());
    CHECK(xml->name == "web1");
    CHECK(xml->guest_channel == "/c/sp");
    REQUIRE(xml->qemu_user.has_value());
    CHECK(xml->qemu_user->uid == 64055);
    CHECK(xml->qemu_user->gid == 107);
    REQUIRE(xml->disks.size() == 3);
    CHECK(xml->disks[0].path == "/i/top.qcow2");
    CHECK(xml->disks[0].serial == "S&1");
    CHECK(xml->disks[0].layer_indexes == std::vector<int>{3, 4});
    CHECK(xml->disks[1].format == "raw");
    CHECK(xml->disks[1].read_only);
    CHECK(xml->disks[1].block_job);
    CHECK(xml->disks[2].path == "rbd:pool/img");
    CHECK_FALSE(xml->disks[2].local_path);
}

TEST_CASE("hypervisor/libvirt/domain_xml: what is no domain is refused") {
    for (const char* text : {"", "<domain>", "<network/>", "<domain/>", "garbage"}) {
        CAPTURE(text);
        const auto xml = parse_domain(text);
        REQUIRE_FALSE(xml.has_value());
        CHECK(xml.error().id == "libvirt.xml");
    }
}

TEST_CASE("hypervisor/libvirt/domain_xml: the user is taken from a numeric DAC label alone") {
    for (const char* label : {"", "qemu:qemu", "+12", "+12:", "+x:+1", "+12:+"}) {
        CAPTURE(label);
        const auto xml = parse_domain(domain(
            "", "<seclabel model='dac'><label>" + std::string{label} + "</label></seclabel>"));
        REQUIRE(xml.has_value());
        CHECK_FALSE(xml->qemu_user.has_value());
    }
}

TEST_CASE("hypervisor/libvirt/domain_xml: the definition names every disk and no backing chain") {
    const std::string live = domain(live_disk);
    const std::string whole =
        domain("<disk device='disk'><source file='/i/top.qcow2'/><target dev='vda'/></disk>");
    CHECK(*definition_from(live, whole) == whole);
    const auto hot_plugged = definition_from(live, domain(""));
    REQUIRE(hot_plugged.has_value());
    CHECK(hot_plugged->find("/i/top.qcow2") != std::string::npos);
    CHECK(hot_plugged->find("backingStore") == std::string::npos);
}

TEST_CASE("hypervisor/libvirt/nodes: a bitmap of ours is usable only when it is sound everywhere") {
    const std::string ours = "stillpoint-0badcafe-1";
    CHECK(state_on(bitmap(ours), "") == BitmapState::usable);
    CHECK(state_on(bitmap(ours), bitmap(ours)) == BitmapState::usable);
    CHECK(state_on("", bitmap(ours)) == BitmapState::absent);  // hidden by an overlay
    CHECK(state_on(bitmap("theirs"), "") == BitmapState::absent);
    CHECK(state_on(bitmap(ours, R"(,"inconsistent":true)"), "") == BitmapState::inconsistent);
    CHECK(state_on(bitmap(ours), bitmap(ours, R"(,"inconsistent":true)")) ==
          BitmapState::inconsistent);
    const std::string idle = R"({"name":")" + ours +
                             R"(","recording":false,"persistent":true,)"
                             R"("granularity":65536})";
    CHECK(state_on(idle, "") == BitmapState::disabled);
    const std::string transient = R"({"name":")" + ours +
                                  R"(","recording":true,)"
                                  R"("persistent":false,"granularity":65536})";
    CHECK(state_on(transient, "") == BitmapState::inconsistent);
}

TEST_CASE("hypervisor/libvirt/nodes: only qcow2 of version 3 holds bitmaps; answers are checked") {
    const auto nodes = parse_nodes(nodes_answer("", ""));
    REQUIRE(nodes.has_value());
    CHECK(find_layer(*nodes, 3)->holds_bitmaps);
    CHECK(find_layer(*nodes, 9) == nullptr);
    const auto storage = parse_nodes(R"({"return":[{"node-name":"libvirt-1-storage",)"
                                     R"("image":{"virtual-size":5,"format":"file"}}]})");
    REQUIRE(storage.has_value());
    REQUIRE(find_layer(*storage, 1) != nullptr);
    CHECK_FALSE(find_layer(*storage, 1)->holds_bitmaps);
    CHECK_FALSE(parse_nodes(R"({"error":{}})").has_value());
    CHECK_FALSE(parse_nodes(R"({"return":[{"node-name":"a","image":{}}]})").has_value());
    CHECK_FALSE(parse_nodes("{").has_value());
}

TEST_CASE("hypervisor/libvirt/backup_xml: every disk is named, none by libvirt's own choice") {
    const auto documents = backup_documents(
        "/j/s", {{"vda", "/j/a", "old", "new"}, {"vdb", "/j/<b>", "", ""}}, {"vdc"});
    CHECK(documents.backup.find("incremental=\"old\"") != std::string::npos);
    CHECK(documents.backup.find("exportbitmap=\"backup-vda\"") != std::string::npos);
    CHECK(documents.backup.find("name=\"vdc\" backup=\"no\"") != std::string::npos);
    CHECK(documents.backup.find("/j/&lt;b&gt;") != std::string::npos);
    CHECK(documents.checkpoint.find("name=\"vda\" checkpoint=\"bitmap\" bitmap=\"new\"") !=
          std::string::npos);
    CHECK(documents.checkpoint.find("name=\"vdb\" checkpoint=\"no\"") != std::string::npos);
    CHECK(documents.checkpoint.find("name=\"vdc\" checkpoint=\"no\"") != std::string::npos);
    CHECK(backup_documents("/j/s", {{"vdb", "/j/b", "", ""}}, {}).checkpoint.empty());
    // What we write, and libvirt adds an index to, is read back.
    const auto running = parse_backup(
        "<domainbackup mode='pull'><server transport='unix' socket='/j/s'/><disks>"
        "<disk name='vda' backup='yes' index='5'><scratch file='/j/a'/></disk>"
        "<disk name='vdc' backup='no'/></disks></domainbackup>");
    REQUIRE(running.has_value());
    CHECK(running->socket == "/j/s");
    CHECK(running->scratch == std::vector<std::string>{"/j/a"});
    CHECK(running->scratch_indexes == std::map<std::string, int>{{"vda", 5}});
    CHECK_FALSE(parse_backup("<domain/>").has_value());
}

TEST_CASE("hypervisor/libvirt/keeper_order: survives its document; half of one is refused") {
    const auto paths = scratch_paths("/j", {"vda", "vdb"});
    REQUIRE(paths.has_value());
    auto document = to_document(
        {.uri = "qemu:///system", .vm = "u", .paths = *paths, .new_bitmaps = {{"vda", "new"}}});
    CHECK(document.text_or("driver") == "libvirt");
    const auto order = from_document(document);
    REQUIRE(order.has_value());
    CHECK(order->vm == "u");
    CHECK(order->paths.socket == paths->socket);
    CHECK(order->paths.files == paths->files);
    CHECK(order->new_bitmaps == std::map<std::string, std::string>{{"vda", "new"}});
    CHECK_FALSE(order->undecided);  // whoever does not say so keeps them
    (*document.map())["undecided"] = true;
    CHECK(from_document(document)->undecided);
    for (const char* member : {"uri", "vm", "folder", "socket", "scratch"}) {
        CAPTURE(member);
        auto half = document;
        half.map()->erase(member);
        CHECK_FALSE(from_document(half).has_value());
    }
}
