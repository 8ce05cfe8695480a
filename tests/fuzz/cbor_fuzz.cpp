// CBOR documents: what is accepted is written in one way only, and has a JSON twin.
#include "fuzz.hpp"
#include "serialization/value.hpp"

namespace stillpoint::fuzz {

void fuzz_one(ByteView input) {
    using namespace serialization;
    const auto value = parse_cbor(input);
    if (!value) return;
    const Bytes bytes = to_cbor(*value);
    SP_CHECK(bytes.size() <= input.size());  // shortest forms: canonical bytes never grow
    SP_CHECK(*parse_cbor(bytes) == *value);
    SP_CHECK(*parse_json(to_json(*value)) == *value);
}

}  // namespace stillpoint::fuzz
