#pragma once
#include <cstdint>
#include <vector>

#include "chunk/chunk_id.hpp"

namespace stillpoint::vault {

/// Ids that were seen, for walks over all block maps of a vault: 21 to 43 bytes each, where the
/// standard set takes 60. It knows ids by their first 16 bytes: they are values of an HMAC, so that
/// among as many nodes as 100 TiB have (27 million) two share those with a probability of 10^-24.
/// @threads one at a time
class IdSet {
public:
    [[nodiscard]] bool contains(const chunk::ChunkId& id) const {
        if (table_.empty()) return false;
        const Key key = key_of(id);
        return key != Key{} && table_[place_of(table_, key)] == key;
    }
    /// An id that begins with 16 zeros is not kept: who asks for it does its work once more.
    void insert(const chunk::ChunkId& id) {
        const Key key = key_of(id);
        if (key == Key{}) return;
        if (4 * (count_ + 1) > 3 * table_.size()) grow();
        Key& place = table_[place_of(table_, key)];
        if (place == Key{}) ++count_;
        place = key;
    }

private:
    struct Key {
        std::uint64_t first = 0, second = 0;
        friend bool operator==(const Key&, const Key&) = default;
    };
    static Key key_of(const chunk::ChunkId& id) {
        Key key;
        for (std::size_t at = 0; at < 8; ++at) {
            key.first = key.first << 8 | std::to_integer<std::uint64_t>(id.value[at]);
            key.second = key.second << 8 | std::to_integer<std::uint64_t>(id.value[at + 8]);
        }
        return key;
    }
    /// Where the key is, or would be: tables are powers of two and never full.
    static std::size_t place_of(const std::vector<Key>& table, const Key& key) {
        std::size_t at = key.second & (table.size() - 1);
        while (table[at] != Key{} && table[at] != key) at = (at + 1) & (table.size() - 1);
        return at;
    }
    void grow() {
        std::vector<Key> bigger(table_.empty() ? 64 : 2 * table_.size());
        for (const Key& key : table_) {
            if (key != Key{}) bigger[place_of(bigger, key)] = key;
        }
        table_.swap(bigger);
    }

    std::vector<Key> table_;
    std::size_t count_ = 0;
};

}  // namespace stillpoint::vault
