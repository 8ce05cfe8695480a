#include "hypervisor/image/facts.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::hypervisor;
using namespace stillpoint::hypervisor::image;

namespace {

/// One layer as `qemu-img info --output=json` tells it.
std::string layer(const std::string& file, const std::string& data) {
    return R"({"virtual-size": 67108864, "filename": ")" + file +
           R"(", "format": "qcow2", "format-specific": {"type": "qcow2", "data": {)" + data + "}}}";
}

ImageFacts facts_of(const std::string& layers) {
    const auto facts = read_image(serialization::parse_json("[" + layers + "]").value());
    REQUIRE(facts);
    return *facts;
}

std::string bitmap(const std::string& name, const std::string& flags) {
    return R"({"name": ")" + name + R"(", "granularity": 65536, "flags": [)" + flags + "]}";
}

}  // namespace

TEST_CASE("image/facts: bitmaps of ours are usable only when they record and nobody died") {
    const ImageFacts facts = facts_of(layer(
        "/a.qcow2", R"("compat": "1.1", "bitmaps": [)" + bitmap("stillpoint-1-a", R"("auto")") +
                        "," + bitmap("stillpoint-1-b", R"("in-use", "auto")") + "," +
                        bitmap("stillpoint-1-c", "") + "," + bitmap("somebody-else", R"("auto")") +
                        "]"));
    CHECK(facts.size == ByteCount{64u << 20});
    CHECK(facts.persistent_bitmaps);
    REQUIRE(facts.bitmaps.size() == 3);
    CHECK(facts.bitmaps[0].state == BitmapState::usable);
    CHECK(facts.bitmaps[0].granularity_bytes == 65536);
    CHECK(facts.bitmaps[1].state == BitmapState::inconsistent);
    CHECK(facts.bitmaps[2].state == BitmapState::inconsistent);
    CHECK(facts.unreadable.empty());
}

TEST_CASE("image/facts: what the format cannot hold is not expected of it") {
    CHECK_FALSE(facts_of(layer("/a.qcow2", R"("compat": "0.10")")).persistent_bitmaps);
    CHECK_FALSE(facts_of(layer("/a.qcow2", "")).persistent_bitmaps);
    const ImageFacts raw =
        facts_of(R"({"virtual-size": 512, "filename": "/a.raw", "format": "raw"})");
    CHECK_FALSE(raw.persistent_bitmaps);
    CHECK(raw.files == std::vector<std::string>{"/a.raw"});
}

TEST_CASE("image/facts: every file that content comes from is named") {
    const ImageFacts facts =
        facts_of(layer("/srv/top.qcow2", R"("compat": "1.1", "data-file": "top.data")") + "," +
                 layer("/base/base.qcow2", R"("compat": "1.1", "data-file": "/d/base.data")"));
    CHECK(facts.data_file == "/srv/top.data");
    CHECK(facts.files == std::vector<std::string>{"/srv/top.qcow2", "/srv/top.data",
                                                  "/base/base.qcow2", "/d/base.data"});
}

TEST_CASE("image/facts: secrets and files elsewhere make it unreadable, with the layer's name") {
    CHECK(facts_of(layer("/a.qcow2", R"("encrypt": {"format": "luks"})"))
              .unreadable.find("/a.qcow2 is encrypted") == 0);
    CHECK(facts_of(layer("/a.qcow2", "") + "," + layer("/b.qcow2", R"("encrypt": {})"))
              .unreadable.find("/b.qcow2 is encrypted") == 0);
    CHECK(facts_of(layer("/a.qcow2", "") + "," + layer("nbd://host/b", ""))
              .unreadable.find("nbd://host/b is no local file") == 0);
    CHECK(
        facts_of(layer("/a.qcow2", R"("data-file": "rbd:pool/x")")).unreadable.find("rbd:pool/x") ==
        0);
}

TEST_CASE("image/facts: an answer of another shape is an error, not an empty disk") {
    for (const char* text : {"{}", "[]", "[{}]", R"([{"virtual-size": -1}])", "7"}) {
        CHECK(read_image(serialization::parse_json(text).value()).error().id == "image.facts");
    }
}
