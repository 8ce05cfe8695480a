#pragma once
#include <algorithm>
#include <atomic>
#include <map>
#include <string>

#include "vault/index_segment.hpp"
#include "vault/memory_store.hpp"

namespace stillpoint::test {

inline chunk::ChunkId id_of(std::uint64_t number) {
    chunk::ChunkId id;
    const auto digest = chunk::sha256(as_bytes(std::to_string(number)));
    std::copy(digest.begin(), digest.end(), id.value.begin());
    return id;
}

inline vault::PackName pack_named(std::uint64_t number) {
    return vault::PackName{chunk::sha256(as_bytes("pack" + std::to_string(number)))};
}

/// Chunks first, first + 1, …: a hundred to a pack.
inline vault::Segment segment_of(std::uint64_t entries, std::uint64_t first = 0) {
    vault::Segment segment;
    for (std::uint64_t i = 0; i < entries; ++i) {
        if (i % 100 == 0) {
            segment.packs.push_back({pack_named(first + i), 1u << 20, 100, vault::Content::data});
        }
        const auto pack = static_cast<std::uint32_t>(segment.packs.size() - 1);
        segment.entries.push_back(
            {vault::index_key(id_of(first + i)), static_cast<std::uint16_t>(i % 100), pack});
    }
    return segment;
}

/// A store in memory that counts what is read from it.
class CountingStore final : public vault::BlockStore {
public:
    Status put(const std::string& name, ByteView bytes) override { return inner.put(name, bytes); }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        ++gets;
        bytes_read += length.raw();
        return inner.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override { return inner.size(name); }
    Result<std::vector<vault::ObjectInfo>> list(const std::string& prefix) override {
        return inner.list(prefix);
    }
    Status remove(const std::string& name) override { return inner.remove(name); }
    [[nodiscard]] std::string describe() const override { return "memory, counted"; }

    vault::MemoryStore inner;
    std::atomic<std::uint64_t> gets{0}, bytes_read{0};
};

}  // namespace stillpoint::test
