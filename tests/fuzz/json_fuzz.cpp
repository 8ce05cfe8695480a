// JSON documents (QMP replies, requests, points): what is accepted survives being written and read.
#include "fuzz.hpp"
#include "serialization/value.hpp"

namespace stillpoint::fuzz {

void fuzz_one(ByteView input) {
    using namespace serialization;
    const auto value = parse_json(as_text(input));
    if (!value) return;
    const auto compact = parse_json(to_json(*value));
    SP_CHECK(compact.has_value());
    SP_CHECK(*compact == *value);
    const auto indented = parse_json(to_json(*value, JsonStyle::indented));
    SP_CHECK(indented.has_value());
    SP_CHECK(*indented == *value);
}

}  // namespace stillpoint::fuzz
