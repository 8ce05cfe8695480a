#pragma once
#include <memory>

#include "base/bytes.hpp"
#include "chunk/chunk_id.hpp"
#include "chunk/secret.hpp"

namespace stillpoint::chunk {

using Digest = std::array<std::byte, 32>;

[[nodiscard]] Digest sha256(ByteView bytes);

/// HKDF-SHA-256 (extract and expand) to 32 bytes.
/// @source RFC 5869
[[nodiscard]] SecretKey hkdf_sha256(ByteView secret, ByteView salt, ByteView info);

/// Keyed ids: HMAC-SHA-256 under one key, the key schedule computed once.
/// @threads any, concurrently: each call borrows a context of its own
class ChunkHasher {
public:
    explicit ChunkHasher(const SecretKey& key);
    ~ChunkHasher();
    ChunkHasher(ChunkHasher&&) noexcept;
    ChunkHasher& operator=(ChunkHasher&&) = delete;
    [[nodiscard]] ChunkId id_of(ByteView plaintext) const;

private:
    class Pool;
    std::unique_ptr<Pool> pool_;
};

}  // namespace stillpoint::chunk
