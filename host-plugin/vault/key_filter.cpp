#include "vault/key_filter.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::uint64_t keys_per_block = 64;
constexpr unsigned bits_per_key = 5;  // the best number at 8 bits a key

std::uint64_t blocks_for(std::uint64_t keys) {
    return keys / keys_per_block + 1;
}

}  // namespace

KeyFilter::KeyFilter(std::uint64_t keys) : blocks_(blocks_for(keys)) {}

std::size_t KeyFilter::bytes_for(std::uint64_t keys) {
    return blocks_for(keys) * sizeof(Block);
}

KeyFilter::Place KeyFilter::place_of(const IndexKey& key) const {
    // The last eight bytes: the first ones are nearly equal in a segment of neighbouring keys.
    std::uint64_t tail = 0;
    for (std::size_t i = 2; i < key.size(); ++i) {
        tail = tail << 8 | std::to_integer<std::uint64_t>(key[i]);
    }
    // Block and bits must not depend on the same bits of the key.
    const std::uint64_t block = ((tail >> 32) * blocks_.size()) >> 32;
    std::uint64_t bits = (tail ^ tail >> 31) * 0x9e3779b97f4a7c15;
    bits ^= bits >> 29;
    return {block, bits};
}

void KeyFilter::add(const IndexKey& key) {
    const Place place = place_of(key);
    for (unsigned i = 0; i < bits_per_key; ++i) {
        const std::uint64_t bit = place.bits >> (9 * i) & 511;
        blocks_[place.block].words[bit / 64] |= 1ull << bit % 64;
    }
}

bool KeyFilter::may_hold(const IndexKey& key) const {
    const Place place = place_of(key);
    for (unsigned i = 0; i < bits_per_key; ++i) {
        const std::uint64_t bit = place.bits >> (9 * i) & 511;
        if ((blocks_[place.block].words[bit / 64] >> bit % 64 & 1) == 0) return false;
    }
    return true;
}

}  // namespace stillpoint::vault
