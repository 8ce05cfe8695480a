#pragma once
#include <memory>
#include <optional>

#include "base/bytes.hpp"

/// A chunk as its difference from another: zstd with the base as prefix.
namespace stillpoint::chunk {

/// Whether a difference may be worth trying: at least a quarter of the pages of 4 KiB are the same
/// at the same places. 4 to 7 us for 64 KiB.
[[nodiscard]] bool alike(ByteView base, ByteView plaintext);

/// Contexts reused from call to call.
/// @threads any, concurrently: each call borrows a context of its own
class DeltaCodec {
public:
    DeltaCodec();
    ~DeltaCodec();
    DeltaCodec(const DeltaCodec&) = delete;
    DeltaCodec& operator=(const DeltaCodec&) = delete;
    /// @param bytes_max what the result may take; more is given up
    /// @param scratch grown as needed and kept by the caller
    /// @return valid while scratch is unchanged
    [[nodiscard]] std::optional<ByteView> compress(ByteView base, ByteView plaintext,
                                                   std::size_t bytes_max, Bytes& scratch) const;
    /// @param base the very bytes that it was compressed with
    /// @param plain_bytes the exact length that must come out
    /// @errors corrupt, id "chunk.encoding": does not decode to exactly that length
    [[nodiscard]] Result<Bytes> decompress(ByteView base, ByteView payload,
                                           std::size_t plain_bytes) const;

private:
    class Pool;
    std::unique_ptr<Pool> pool_;
};

}  // namespace stillpoint::chunk
