#pragma once
#include <array>
#include <vector>

#include "vault/index_segment.hpp"

namespace stillpoint::vault {

/// Tells keys that are certainly not in a segment from those that may be: a Bloom filter in blocks
/// of one cache line, one byte a key. Of keys that are not there it lets about 3 % pass.
/// @threads may_hold: any, concurrently, once nobody adds any more
class KeyFilter {
public:
    explicit KeyFilter(std::uint64_t keys);
    [[nodiscard]] static std::size_t bytes_for(std::uint64_t keys);

    void add(const IndexKey& key);
    /// Never false for a key that was added.
    [[nodiscard]] bool may_hold(const IndexKey& key) const;

private:
    struct alignas(64) Block {
        std::array<std::uint64_t, 8> words{};
    };
    struct Place {
        std::size_t block;
        std::uint64_t bits;  // five numbers of 9 bits
    };
    [[nodiscard]] Place place_of(const IndexKey& key) const;

    std::vector<Block> blocks_;
};

}  // namespace stillpoint::vault
