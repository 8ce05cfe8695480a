#include "serialization/messages.hpp"

#include <doctest/doctest.h>

#include "base/hex.hpp"
#include "serialization/version.hpp"

using namespace stillpoint;
using namespace stillpoint::serialization;

namespace {

Bytes cbor_of_json(std::string_view json) {
    return to_cbor(parse_json(json).value());
}

}  // namespace

TEST_CASE("serialization/messages: a message survives the wire with every member") {
    Thawed sent;
    sent.lease_id = "lease";
    sent.held = true;
    sent.thawed_ns = 123'456'789'012;
    sent.evidence.push_back({EvidenceKind::filesystem, "/", "ext4", true, false, 12, "unwritten"});
    const auto back = decode_message(encode_message(sent));
    REQUIRE(back);
    CHECK(kind_of(*back) == "Thawed");
    CHECK(message_to_json(*back) == message_to_json(sent));
    CHECK(std::get<Thawed>(*back).evidence.at(0).note == "unwritten");
}

TEST_CASE("serialization/messages: absent members keep defaults, unknown ones are skipped") {
    const auto message = decode_message(
        cbor_of_json(R"({"kind":"Prepare","later":1,"body":{"job_id":"j","colour":"red"}})"));
    REQUIRE(message);
    CHECK(std::get<Prepare>(*message).job_id == "j");
    CHECK(std::get<Prepare>(*message).freeze_budget_ns == Prepare{}.freeze_budget_ns);
}

TEST_CASE("serialization/messages: an unknown kind is a value, not a failure") {
    const auto message = decode_message(cbor_of_json(R"({"kind":"Dance","body":{}})"));
    REQUIRE(message);
    CHECK(std::get<Unknown>(*message).name == "Dance");
    CHECK(kind_of(*message) == "Dance");
}

TEST_CASE("serialization/messages: malformed documents are corrupt and name the member") {
    for (const char* json : {"[]", "{}", R"({"kind":"Ping"})", R"({"kind":1,"body":{}})",
                             R"({"kind":"Ping","body":[]})", R"({"kind":"","body":{}})"}) {
        CHECK(decode_message(cbor_of_json(json)).error().id == "message.malformed");
    }
    const auto wrong = decode_message(cbor_of_json(R"({"kind":"Ping","body":{"number":-1}})"));
    CHECK(wrong.error().text.find("Ping.number") == 0);
    const auto level = decode_message(cbor_of_json(R"({"kind":"Prepare","body":{"wanted":"x"}})"));
    CHECK(level.error().code == Errc::corrupt);
}

TEST_CASE("serialization/messages: one that does not fit a frame becomes an error message") {
    Log log{"info", std::string(limits::frame_bytes_max, 'x')};
    const Bytes bytes = encode_message(log);
    CHECK(bytes.size() < 1000);
    const auto back = decode_message(bytes).value();
    CHECK(std::get<Failure>(back).code == "protocol.too_large");
    Failure failure{"hook.failed", false, std::string(limits::frame_bytes_max, 'y')};
    CHECK(std::get<Failure>(decode_message(encode_message(failure)).value()).text.find("yyy") !=
          std::string::npos);
}

TEST_CASE("serialization/messages: a mount point that is not UTF-8 still travels") {
    Welcome welcome;
    welcome.volumes.push_back({"/mnt/\xff", "ext4", "8:1", true, false, ""});
    const auto back = decode_message(encode_message(welcome)).value();
    CHECK(std::get<Welcome>(back).volumes.at(0).name == "/mnt/\xef\xbf\xbd");
}

TEST_CASE("serialization/version: the newest common one, every small pair of ranges") {
    for (std::uint32_t a = 0; a < 4; ++a) {
        for (std::uint32_t b = 0; b < 4; ++b) {
            for (std::uint32_t c = 0; c < 4; ++c) {
                for (std::uint32_t d = 0; d < 4; ++d) {
                    std::optional<std::uint32_t> expected;
                    for (std::uint32_t v = 0; v < 4; ++v) {
                        if (a <= v && v <= b && c <= v && v <= d) expected = v;
                    }
                    REQUIRE(choose_version({a, b}, {c, d}) == expected);
                }
            }
        }
    }
}
