// Messages: what is accepted re-encodes to stable bytes and to a JSON twin that tells the same.
#include "fuzz.hpp"
#include "serialization/messages.hpp"

namespace stillpoint::fuzz {

void fuzz_one(ByteView input) {
    const auto message = serialization::decode_message(input);
    if (!message) return;
    const Bytes bytes = serialization::encode_message(*message);
    SP_CHECK(bytes.size() <= limits::frame_bytes_max);
    const auto again = serialization::decode_message(bytes);
    SP_CHECK(again.has_value());
    SP_CHECK(serialization::encode_message(*again) == bytes);
    const std::string json = serialization::message_to_json(*message);
    SP_CHECK(serialization::message_to_json(*again) == json);
    SP_CHECK(serialization::to_cbor(*serialization::parse_json(json)) == bytes);
}

}  // namespace stillpoint::fuzz
