// The config object: as it lies in the store, and as text whose checksum is right.
#include "base/hex.hpp"
#include "fuzz.hpp"
#include "vault/config.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace vault;

void check(ByteView object) {
    const auto decoded = decode_config(object);
    if (!decoded) return;
    // Nothing but our own spelling is accepted, so writing it again gives one of the copies.
    const auto again = decode_config(encode_config(decoded->config));
    SP_CHECK(again.has_value() && again->config == decoded->config);
    SP_CHECK(again->digest == decoded->digest && !again->damaged);
}

}  // namespace

void fuzz_one(ByteView input) {
    constexpr std::size_t copy_bytes = 1024;
    check(input);
    std::string text{as_text(input)};
    text += "sha256 " + to_hex(chunk::sha256(as_bytes(text))) + "\n";
    if (text.size() > copy_bytes) return;
    text.resize(copy_bytes, '\n');
    check(as_bytes(text + text));
}

}  // namespace stillpoint::fuzz
