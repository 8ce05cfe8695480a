#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.hpp"
#include "chunk/chunk_id.hpp"

namespace stillpoint::chunk {

/// How a record's payload is encoded; the number is part of the vault format.
/// `delta` is the difference from another record, its base, which is none itself.
enum class Codec : std::uint8_t { raw = 0, zstd = 1, lz4 = 2, delta = 3 };

/// What a writer tries; whether a payload keeps it depends on what it saves.
enum class CompressionPolicy : std::uint8_t { none = 0, zstd = 1, lz4 = 2 };

inline constexpr int zstd_level = 1;
/// A payload stays raw unless compression saves at least this share of it.
inline constexpr std::size_t saving_divisor = 32;

struct Payload {
    Codec codec = Codec::raw;
    ByteView bytes;                 // into the scratch of the call, or the plaintext itself
    std::optional<ChunkId> base{};  // of a delta
};

/// Compressing and decompressing contexts, reused from call to call.
/// @threads any, concurrently: each call borrows a context of its own
class Compressor {
public:
    Compressor();
    ~Compressor();
    Compressor(const Compressor&) = delete;
    Compressor& operator=(const Compressor&) = delete;
    /// @param scratch grown as needed and kept by the caller for the next call
    /// @return the smaller form, valid while plaintext and scratch are unchanged
    [[nodiscard]] Payload compress(CompressionPolicy policy, ByteView plaintext,
                                   Bytes& scratch) const;
    /// @param plain_bytes the exact length that must come out
    /// @errors corrupt, id "chunk.encoding": does not decode to exactly that length ·
    ///         unsupported, id "chunk.codec": reserved or unknown codec
    [[nodiscard]] Result<Bytes> decompress(Codec codec, ByteView payload,
                                           std::size_t plain_bytes) const;

private:
    class Pool;
    std::unique_ptr<Pool> pool_;
};

}  // namespace stillpoint::chunk
