#pragma once
#include "base/bytes.hpp"
#include "chunk/chunk_id.hpp"
#include "chunk/hmac.hpp"
#include "chunk/secret.hpp"

namespace stillpoint::chunk {

[[nodiscard]] Digest sha256(ByteView bytes);

/// SHA-256 of the list of the SHA-256 of each piece (see pieces.hpp): two contents that share it
/// would have two inputs of SHA-256 that share a digest. Pieces do not wait for each other, as the
/// blocks of one long hash do, so that a processor computes several at once.
[[nodiscard]] Digest sha256_by_pieces(ByteView bytes);

/// HKDF-SHA-256 (extract and expand) to 32 bytes.
/// @param salt not empty; 32 zeros stand for none
/// @source RFC 5869
[[nodiscard]] SecretKey hkdf_sha256(ByteView secret, ByteView salt, ByteView info);

/// Keyed ids. The id of a content of one piece is its HMAC; that of a longer one the HMAC, under a
/// key of its own, of the list of its pieces' HMACs: several at once, as above.
/// @threads any, concurrently
class ChunkHasher {
public:
    explicit ChunkHasher(const SecretKey& key);
    /// @param plaintext at most limits::chunk_bytes_max
    [[nodiscard]] ChunkId id_of(ByteView plaintext) const;

private:
    Hmac pieces_, lists_;
};

}  // namespace stillpoint::chunk
