#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "base/hex.hpp"
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

/// All keys of a document, at every depth.
std::set<std::string> member_names(const Value& value) {
    std::set<std::string> names;
    if (const Map* map = value.map()) {
        for (const auto& [key, member] : *map) {
            names.insert(key);
            names.merge(member_names(member));
        }
    }
    if (const Array* array = value.array()) {
        for (const Value& item : *array) names.merge(member_names(item));
    }
    return names;
}

std::string read_file(const std::filesystem::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
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

TEST_CASE(
    "golden/wire: the protocol's document names every kind, every member and the frame's bytes") {
    const std::string document = read_file(STILLPOINT_PROTOCOL_DOCUMENT);
    REQUIRE_FALSE(document.empty());
    const auto says = [&](const std::string& word) {
        CAPTURE(word);
        CHECK(document.find(word) != std::string::npos);
    };
    for (const Message& message : sample_messages()) {
        if (message.index() == 0) continue;
        says("`" + std::string(kind_of(message)) + "`");
        for (const std::string& member : member_names(*parse_json(message_to_json(message)))) {
            says(member == "body" ? "\"body\"" : "`" + member + "`");
        }
    }
    std::string hex;
    for (const char c : document) {
        if (c != ' ' && c != '\n') hex += c;
    }
    CHECK(hex.find(to_hex(encode_frame(sample_frame()))) != std::string::npos);
}

TEST_CASE("golden/wire: no frozen wire file is left without a test") {
    std::set<std::string> known;
    for (const Message& message : sample_messages()) known.insert(stem_of(message));
    for (const auto& entry : std::filesystem::directory_iterator{STILLPOINT_GOLDEN_FOLDER}) {
        if (entry.path().extension() != ".cbor") continue;
        CHECK_MESSAGE(known.contains(entry.path().stem().string()), entry.path().string());
    }
}
