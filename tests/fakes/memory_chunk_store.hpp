#pragma once
#include <map>
#include <mutex>

#include "vault/node_loader.hpp"

namespace stillpoint::fakes {

/// A keyed id without a key: fast and well mixed, no protection. For tests of what lies above.
inline chunk::ChunkId mixed_id(ByteView bytes) {
    chunk::ChunkId id;
    for (std::size_t lane = 0; lane < 4; ++lane) {
        std::uint64_t h = 0x9e3779b97f4a7c15ull * (lane + 1) + bytes.size();
        for (const std::byte b : bytes) {
            h = (h ^ std::to_integer<std::uint64_t>(b)) * 0x100000001b3ull;
            h ^= h >> 29;
        }
        h *= 0xbf58476d1ce4e5b9ull;
        h ^= h >> 32;
        std::memcpy(id.value.data() + 8 * lane, &h, sizeof h);
    }
    return id;
}

/// Chunks in a map, with counters, and open to damage.
class MemoryChunkStore final : public vault::ChunkStore {
public:
    Result<vault::PutResult> put(const chunk::ChunkId& id, ByteView plaintext,
                                 vault::Content content) override {
        const std::scoped_lock lock{mutex_};
        if (chunks.contains({content, id})) return vault::PutResult{};
        chunks.emplace(std::pair{content, id}, to_bytes(plaintext));
        ++puts;
        return vault::PutResult{plaintext.size()};
    }
    Result<Bytes> get(const chunk::ChunkId& id, vault::Content content) override {
        const std::scoped_lock lock{mutex_};
        ++gets;
        const auto found = chunks.find({content, id});
        if (found == chunks.end()) {
            return fail(Errc::corrupt, "vault.chunk_missing", "no such chunk");
        }
        return found->second;
    }

    std::map<std::pair<vault::Content, chunk::ChunkId>, Bytes> chunks;
    std::size_t puts = 0;
    std::size_t gets = 0;

private:
    std::mutex mutex_;
};

}  // namespace stillpoint::fakes
