#include "hypervisor/qmp/facts.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::hypervisor;
using namespace stillpoint::hypervisor::qmp;

namespace {

serialization::Value json(const std::string& text) {
    const auto value = serialization::parse_json(text);
    if (!value) FAIL(value.error().text);
    return *value;
}

std::string node(const std::string& name, const std::string& driver, std::uint64_t size,
                 const std::string& more = "") {
    return R"({"node-name": ")" + name + R"(", "drv": ")" + driver +
           R"(", "image": {"filename": "/img/)" + name + R"(", "virtual-size": )" +
           std::to_string(size) + R"(, "format-specific": {"data": {"compat": "1.1"}}})" + more +
           "}";
}

std::string device(const std::string& qdev, const std::string& drive, const std::string& root) {
    return R"({"qdev": ")" + qdev + R"(", "device": ")" + drive +
           R"(", "inserted": {"node-name": ")" + root + R"(", "drv": "x"}})";
}

BlockAnswers answers(const std::string& block, const std::string& nodes,
                     const std::string& graph = "null") {
    return {json("[" + block + "]"), json("[" + nodes + "]"), json(graph)};
}

// parent "1" over child "2" by an edge of this name
std::string graph(const std::string& parent, const std::string& child, const char* edge = "file") {
    return R"({"nodes": [{"id": 1, "name": ")" + parent + R"("}, {"id": 2, "name": ")" + child +
           R"("}], "edges": [{"parent": 1, "child": 2, "name": ")" + edge + R"("}]})";
}

}  // namespace

TEST_CASE("qmp/facts: a disk is called by its qdev id, else its drive, else its node") {
    const auto names = [](const std::string& qdev, const std::string& drive) {
        const auto devices =
            read_devices(answers(device(qdev, drive, "n0"), node("n0", "qcow2", 512)));
        return devices.value().at(0).disk;
    };
    CHECK(names("sda", "drive0") == "sda");
    CHECK(names("/machine/peripheral/vda/virtio-backend", "") == "vda");
    CHECK(names("/machine/peripheral/usb/usb.0/legacy[0]", "") == "usb");
    CHECK(names("/machine/peripheral-anon/device[0]/virtio-backend", "virtio0") == "virtio0");
    CHECK(names("/machine/peripheral-anon/device[0]/virtio-backend", "") == "n0");
    CHECK(qom_path_of("sda") == "/machine/peripheral/sda");
    CHECK(qom_path_of("/machine/peripheral/vda/virtio-backend") == "/machine/peripheral/vda");
    CHECK(qom_path_of("/machine/system.flash1") == "/machine/system.flash1");
}

TEST_CASE("qmp/facts: empty drives and unattached ones are no disks; two of one name are refused") {
    const std::string empty = R"({"qdev": "cd", "device": "ide0"})";
    const std::string unattached = device("", "spare", "n1");
    const auto nodes = node("n0", "qcow2", 512) + "," + node("n1", "qcow2", 512);
    const auto devices =
        read_devices(answers(empty + "," + unattached + "," + device("vda", "", "n0"), nodes));
    REQUIRE(devices.value().size() == 1);
    CHECK(devices.value()[0].disk == "vda");
    const auto twice =
        read_devices(answers(device("vda", "", "n0") + "," + device("vda", "", "n1"), nodes));
    CHECK(twice.error().id == "qmp.ambiguous_disk");
}

TEST_CASE("qmp/facts: the active layer is below filters and raw nodes of the same size") {
    const auto source = [](const std::string& upper, const std::string& shape) {
        const auto nodes = upper + "," + node("n0", "qcow2", 4096);
        return read_devices(answers(device("vda", "", "top"), nodes, shape))
            .value()
            .at(0)
            .source.name;
    };
    CHECK(source(node("top", "throttle", 4096), graph("top", "n0")) == "n0");
    CHECK(source(node("top", "mirror_top", 4096), graph("top", "n0", "backing")) == "n0");
    CHECK(source(node("top", "raw", 4096), graph("top", "n0")) == "n0");
    // a window on the image: its offsets are not the bitmap's
    CHECK(source(node("top", "raw", 2048), graph("top", "n0")) == "top");
    // an overlay: what is below is no active layer
    CHECK(source(node("top", "qcow2", 4096), graph("top", "n0", "backing")) == "top");
    // no graph to be had, or one that goes in a circle
    CHECK(source(node("top", "throttle", 4096), "null") == "top");
    CHECK_FALSE(source(node("top", "throttle", 4096), graph("top", "top")).empty());
}

TEST_CASE("qmp/facts: bitmaps are usable only when they record and are consistent") {
    const std::string bitmaps =
        R"(, "dirty-bitmaps": [
            {"name": "good", "recording": true, "persistent": true, "granularity": 65536},
            {"name": "dead", "recording": false, "inconsistent": true, "granularity": 65536},
            {"name": "off", "recording": false, "granularity": 65536},
            {"recording": true}])";
    const auto devices =
        read_devices(answers(device("vda", "", "n0"), node("n0", "qcow2", 512, bitmaps)));
    const auto& found = devices.value().at(0).source.bitmaps;
    REQUIRE(found.size() == 3);
    CHECK(found[0].state == BitmapState::usable);
    CHECK(found[0].persistent);
    CHECK(found[0].granularity_bytes == 65536);
    CHECK(found[1].state == BitmapState::inconsistent);
    CHECK(found[2].state == BitmapState::disabled);
}

TEST_CASE("qmp/facts: who can hold persistent bitmaps") {
    const auto can = [](const std::string& text) {
        return read_devices(answers(device("vda", "", "n0"), text))
            .value()[0]
            .source.persistent_bitmaps;
    };
    CHECK(can(node("n0", "qcow2", 512)));
    CHECK_FALSE(can(node("n0", "qcow2", 512, R"(, "ro": true)")));
    CHECK_FALSE(can(node("n0", "raw", 512)));
    CHECK_FALSE(can(R"({"node-name": "n0", "drv": "qcow2", "image": {"virtual-size": 512,
        "format-specific": {"data": {"compat": "0.10"}}}})"));
}

TEST_CASE("qmp/facts: answers of another shape are errors, not guesses") {
    const auto id = [](const char* block, const char* nodes) {
        const auto devices = read_devices({json(block), json(nodes), {}});
        return devices ? std::string("fine") : devices.error().id;
    };
    CHECK(id("{}", "[]") == "qmp.unexpected");
    CHECK(id("[]", "{}") == "qmp.unexpected");
    CHECK(id("[]", R"([{"node-name": "n0"}])") == "qmp.unexpected");
    CHECK(id("[]", R"([{"node-name": "n0", "image": {"virtual-size": -1}}])") == "qmp.unexpected");
    CHECK(id("[]", "[]") == "fine");
}

TEST_CASE("qmp/facts: a storage daemon's disks are the nodes that nothing else uses") {
    const auto nodes = node("disk", "qcow2", 4096) + "," + node("file", "file", 4096);
    const auto devices = read_devices(answers("", nodes, graph("disk", "file")));
    REQUIRE(devices.value().size() == 1);
    CHECK(devices.value()[0].disk == "disk");
    CHECK(devices.value()[0].device_path.empty());
}
