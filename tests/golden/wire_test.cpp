#include <doctest/doctest.h>

#include <filesystem>
#include <set>
#include <string>

#include "serialization/frame.hpp"
#include "serialization/messages.hpp"
#include "support/golden.hpp"
#include "support/sample_messages.hpp"

using namespace stillpoint;
using namespace stillpoint::serialization;
using namespace stillpoint::test;

namespace {

std::string stem_of(const Message& message) {
    return std::string(kind_of(message)) + "-v1";
}

std::string twin_of(const Message& message) {
    return to_json(parse_json(message_to_json(message)).value(), JsonStyle::indented) + "\n";
}

Frame sample_frame() {
    return {0x0123456789abcdef, 42, encode_message(Ping{7})};
}

}  // namespace

TEST_CASE("golden/wire: there is a sample of every kind of message") {
    std::set<std::size_t> kinds;
    for (const Message& message : sample_messages()) kinds.insert(message.index());
    CHECK(kinds.size() == std::variant_size_v<Message>);
}

TEST_CASE("golden/wire: every message is written as it was when version 1 was frozen") {
    for (const Message& message : sample_messages()) {
        const std::string stem = stem_of(message);
        CAPTURE(stem);
        CHECK(matches_golden(stem + ".cbor", encode_message(message)));
        CHECK(matches_golden(stem + ".json", twin_of(message)));
    }
}

TEST_CASE("golden/wire: every frozen message is read as what its twin says") {
    for (const Message& message : sample_messages()) {
        const std::string stem = stem_of(message);
        CAPTURE(stem);
        const auto read = decode_message(read_golden(stem + ".cbor"));
        REQUIRE(read);
        CHECK(twin_of(*read) == as_text(read_golden(stem + ".json")));
    }
}

TEST_CASE("golden/wire: the frame") {
    CHECK(matches_golden("frame-v1.bin", encode_frame(sample_frame())));
    FrameReader reader;
    reader.feed(read_golden("frame-v1.bin"));
    CHECK(reader.next() == sample_frame());
}

TEST_CASE("golden/wire: no frozen wire file is left without a test") {
    std::set<std::string> known;
    for (const Message& message : sample_messages()) known.insert(stem_of(message));
    for (const auto& entry : std::filesystem::directory_iterator{STILLPOINT_GOLDEN_FOLDER}) {
        if (entry.path().extension() != ".cbor") continue;
        CHECK_MESSAGE(known.contains(entry.path().stem().string()), entry.path().string());
    }
}
