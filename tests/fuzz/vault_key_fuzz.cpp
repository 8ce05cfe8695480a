// A key slot: as it lies in the store, and with a checksum that is right. No slot is unwrapped: the
// bounds on Argon2id's work are what is tested here.
#include "fuzz.hpp"
#include "vault/key_slot.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace vault;

void check(ByteView object) {
    const auto decoded = decode_key_slot(object);
    if (!decoded.slot) return;
    SP_CHECK(decoded.slot->cost.passes <= 16 && decoded.slot->cost.memory_kib <= 1u << 20);
    SP_CHECK(decode_key_slot(encode_key_slot(*decoded.slot)).slot == decoded.slot);
}

}  // namespace

void fuzz_one(ByteView input) {
    constexpr std::size_t checked_bytes = 224;
    check(input);
    Bytes copy = to_bytes(input.first(std::min(input.size(), checked_bytes)));
    copy.resize(checked_bytes);
    ByteWriter{copy}.raw(chunk::sha256(copy));
    check(copy);
}

}  // namespace stillpoint::fuzz
