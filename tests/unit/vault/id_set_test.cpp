#include "vault/id_set.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace stillpoint;
using vault::IdSet;

namespace {

/// Ids of few different bytes, so that many begin alike and places in the table are contended.
chunk::ChunkId any_id(std::mt19937_64& random) {
    chunk::ChunkId id;
    for (std::size_t at = 0; at < 16; ++at) {
        if (random() % 4 == 0) id.value[at] = static_cast<std::byte>(random() % 3);
    }
    return id;
}

}  // namespace

TEST_CASE("vault/id_set: holds what was put into it and nothing else") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random{seed};
        IdSet set;
        std::set<std::array<std::byte, 32>> model;
        for (int i = 0; i < 3000; ++i) {
            const chunk::ChunkId id = any_id(random), other = any_id(random);
            const bool kept = id.value != chunk::ChunkId{}.value;
            set.insert(id);
            if (kept) model.insert(id.value);
            CHECK(set.contains(id) == kept);
            CHECK(set.contains(other) == model.contains(other.value));
        }
        for (const auto& value : model) CHECK(set.contains(chunk::ChunkId{value}));
    }
}

TEST_CASE("vault/id_set: of an id the first 16 bytes count") {
    chunk::ChunkId id, twin;
    id.value[15] = twin.value[15] = std::byte{1};
    twin.value[16] = std::byte{1};
    IdSet set;
    CHECK_FALSE(set.contains(id));
    set.insert(id);
    CHECK(set.contains(twin));
    twin.value[14] = std::byte{1};
    CHECK_FALSE(set.contains(twin));
}
