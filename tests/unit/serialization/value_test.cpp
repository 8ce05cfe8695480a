#include "serialization/value.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "base/hex.hpp"
#include "serialization/utf8.hpp"

using namespace stillpoint;
using namespace stillpoint::serialization;

namespace {

Result<Value> cbor(std::string_view hex, const DocumentLimits& limits = {}) {
    return parse_cbor(from_hex(hex).value(), limits);
}

}  // namespace

TEST_CASE("serialization/value: CBOR bytes are stable: sorted keys, shortest integers") {
    const Value value = Map{{"b", Value{1}},
                            {"a", Value{Array{Value{-1}, Value{true}, Value{}}}},
                            {"aa", Value{"text"}}};
    CHECK(to_hex(to_cbor(value)) ==
          "a3"
          "6161"
          "8320f5f6"
          "626161"
          "6474657874"
          "6162"
          "01");
    CHECK(parse_cbor(to_cbor(value)).value() == value);
    CHECK(parse_json(to_json(value)).value() == value);
}

TEST_CASE("serialization/value: CBOR integers at the edges of 63 bits") {
    CHECK(*cbor("1b7fffffffffffffff").value().integer() ==
          std::numeric_limits<std::int64_t>::max());
    CHECK(*cbor("3b7fffffffffffffff").value().integer() ==
          std::numeric_limits<std::int64_t>::min());
    CHECK_FALSE(cbor("1b8000000000000000"));
    CHECK_FALSE(cbor("3b8000000000000000"));  // -2^63 - 1
    CHECK_FALSE(cbor("3bffffffffffffffff"));  // -2^64
}

TEST_CASE("serialization/value: CBOR refuses what the wire does not use") {
    CHECK_FALSE(cbor("f93c00"));                // half float
    CHECK_FALSE(cbor("fb3ff8000000000000"));    // double
    CHECK_FALSE(cbor("4101"));                  // byte string
    CHECK_FALSE(cbor("c000"));                  // tag
    CHECK_FALSE(cbor("a10000"));                // key that is no text
    CHECK_FALSE(cbor("a2616100616101"));        // duplicate key
    CHECK_FALSE(cbor("0000"));                  // two documents
    CHECK_FALSE(cbor("61ff"));                  // text that is not UTF-8
    CHECK_FALSE(cbor("a161ff00"));              // … as a key
    CHECK_FALSE(cbor("7bffffffffffffffff00"));  // a text of 2^64-1 bytes
    CHECK_FALSE(cbor("9bffffffffffffffff00"));  // a list of as many
    CHECK_FALSE(cbor(""));
}

TEST_CASE("serialization/value: limits on depth, elements, strings and bytes") {
    CHECK(cbor("818100", {.depth_max = 2}));
    CHECK_FALSE(cbor("81818100", {.depth_max = 2}));
    CHECK_FALSE(cbor("83000000", {.items_max = 3}));
    CHECK_FALSE(cbor("63616161", {.string_bytes_max = 2}));
    CHECK_FALSE(cbor("83000000", {.bytes_max = 3}));
    CHECK_FALSE(parse_cbor(Bytes(limits::frame_bytes_max, std::byte{0x81})));
    CHECK_FALSE(parse_json(std::string(limits::frame_bytes_max, '[')));
}

TEST_CASE("serialization/utf8: well-formed sequences pass, all others become U+FFFD") {
    for (const char* good :
         {"", "a", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
        CHECK(is_utf8(good));
        CHECK(to_utf8(good) == good);
    }
    for (const char* bad : {"\x80", "\xc0\x80", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80",
                            "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5", "\xe1\x80"}) {
        CHECK_FALSE(is_utf8(bad));
        CHECK(is_utf8(to_utf8(bad)));
    }
    CHECK(to_utf8("a\xff\xc3\xa9") == "a\xef\xbf\xbd\xc3\xa9");
}
