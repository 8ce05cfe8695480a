#pragma once
#include <cstdint>

#include "base/bytes.hpp"
#include "chunk/chunk_id.hpp"

namespace stillpoint::vault {

/// Data chunks and map nodes live in packs of their own.
enum class Content : std::uint8_t { data, map };

struct PutResult {
    std::uint64_t stored_bytes = 0;  // sealed bytes added; 0: the chunk was known
    [[nodiscard]] bool known() const { return stored_bytes == 0; }
};

/// Chunks by id: packs plus index, as the block map and the disk writers see them.
/// @threads any, concurrently
class ChunkStore {
public:
    virtual ~ChunkStore() = default;
    /// Stores unless known (in the index, in this run's open packs; never against a condemned
    /// pack). Data is compressed as the vault's policy says, map nodes never.
    virtual Result<PutResult> put(const chunk::ChunkId& id, ByteView plaintext,
                                  Content content) = 0;
    /// As put(), of what takes the place of `previous`, a chunk that the vault may hold: it may be
    /// stored as its difference from that.
    virtual Result<PutResult> put_after(const chunk::ChunkId& /*previous*/,
                                        const chunk::ChunkId& id, ByteView plaintext,
                                        Content content) {
        return put(id, plaintext, content);
    }
    /// Serves what was put before, too.
    /// @return the plaintext, its seal checked; data chunks are also checked against their id
    /// @errors corrupt, id "vault.chunk_missing" (not in the index) or "vault.chunk_damaged"
    virtual Result<Bytes> get(const chunk::ChunkId& id, Content content) = 0;
};

}  // namespace stillpoint::vault
