#include "hypervisor/qmp/message.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::hypervisor::qmp;

namespace {

std::vector<std::string> cut(MessageSplitter& splitter) {
    std::vector<std::string> objects;
    while (true) {
        const auto object = splitter.next();
        REQUIRE(object);
        if (!object->has_value()) return objects;
        objects.push_back(**object);
    }
}

}  // namespace

TEST_CASE("qmp/message: objects are cut wherever the bytes arrive") {
    const std::string one = R"({"a": "}{\"\\", "b": {"c": [{}]}})";
    const std::string stream = one + "\r\n" + one + one + "\n";
    for (std::size_t step = 1; step < stream.size(); ++step) {
        MessageSplitter splitter;
        std::vector<std::string> objects;
        for (std::size_t at = 0; at < stream.size(); at += step) {
            splitter.feed(as_bytes(stream.substr(at, step)));
            for (auto& object : cut(splitter)) objects.push_back(std::move(object));
        }
        CHECK(objects == std::vector<std::string>{one, one, one});
    }
}

TEST_CASE("qmp/message: a pretty monitor's objects over several lines are one") {
    MessageSplitter splitter;
    splitter.feed(as_bytes("{\n    \"return\": {\n    },\n    \"id\": 7\n}\r\n"));
    const auto objects = cut(splitter);
    REQUIRE(objects.size() == 1);
    CHECK(std::get<Reply>(parse_message(objects[0]).value()).id == 7);
}

TEST_CASE("qmp/message: bytes outside objects and endless objects end the stream for good") {
    MessageSplitter garbage;
    garbage.feed(as_bytes("{} HTTP/1.1 400\r\n"));
    CHECK(garbage.next().value().value() == "{}");
    CHECK(garbage.next().error().id == "qmp.malformed");
    CHECK(garbage.next().error().id == "qmp.malformed");
    MessageSplitter endless{100};
    endless.feed(as_bytes("{\"a\": \"" + std::string(93, 'x')));
    CHECK_FALSE(endless.next().value().has_value());
    endless.feed(as_bytes("x"));
    CHECK(endless.next().error().id == "qmp.malformed");
    endless.feed(as_bytes("\"}"));
    CHECK(endless.next().error().id == "qmp.malformed");
}

TEST_CASE("qmp/message: the four kinds") {
    const auto hello =
        parse_message(R"({"QMP": {"version": {"qemu": {"micro": 2, "minor": 1, "major": 9}}}})");
    CHECK(std::get<Greeting>(hello.value()).version == Version{9, 1, 2});
    const auto reply = parse_message(R"({"return": [1], "id": 3})");
    CHECK(std::get<Reply>(reply.value()).value.array()->size() == 1);
    const auto refusal = parse_message(R"({"error": {"class": "CommandNotFound", "desc": "no"}})");
    CHECK_FALSE(std::get<Refusal>(refusal.value()).id.has_value());
    CHECK(std::get<Refusal>(refusal.value()).error_class == "CommandNotFound");
    const auto event = parse_message(R"({"event": "STOP", "timestamp": {"seconds": 1}})");
    CHECK(std::get<Event>(event.value()).name == "STOP");
    CHECK(std::get<Event>(event.value()).data.is_null());
}

TEST_CASE("qmp/message: everything else is malformed") {
    for (const char* text :
         {"", "{", "[]", "{}", "1", R"({"return": {}})", R"({"event": 1})", R"({"QMP": {}})",
          R"({"return": {}, "id": "x"})", "{\"a\": \"\xff\"}", R"({"return": 1e400, "id": 1})"}) {
        CAPTURE(text);
        const auto parsed = parse_message(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().code == Errc::corrupt);
        CHECK(parsed.error().id == "qmp.malformed");
    }
    const std::string deep =
        R"({"id": 1, "return": )" + std::string(600, '[') + std::string(600, ']') + "}";
    CHECK_FALSE(parse_message(deep));
}

TEST_CASE("qmp/message: a chain of 200 backing images is not too deep") {
    std::string chain = R"({"filename": "base"})";
    for (int n = 0; n < 200; ++n) chain = R"({"backing-image": )" + chain + "}";
    CHECK(parse_message(R"({"id": 1, "return": )" + chain + "}"));
}
