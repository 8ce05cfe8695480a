#pragma once
#include <cstdint>
#include <initializer_list>
#include <memory>

#include "base/bytes.hpp"
#include "chunk/secret.hpp"

namespace stillpoint::chunk {

/// Bytes that sealing adds: the GCM tag. The nonce is the record's number and is not stored.
inline constexpr std::size_t seal_overhead_bytes = 16;

class Gcm;

/// AES-256-GCM under one object's key. The nonce is the record number, so each number may be
/// sealed once only per key; the caller's format guarantees that.
/// @threads any, concurrently
/// @source NIST SP 800-38D; nonce = record number as little-endian u64, then four zero bytes
class SealKey {
public:
    explicit SealKey(const SecretKey& key);
    ~SealKey();
    SealKey(SealKey&&) noexcept;
    SealKey& operator=(SealKey&&) = delete;
    /// @param out exactly plaintext.size() + seal_overhead_bytes; must not overlap plaintext
    void seal(std::uint64_t record, ByteView associated, ByteView plaintext,
              std::span<std::byte> out) const;
    /// @param out exactly sealed.size() - seal_overhead_bytes
    /// @errors corrupt, id "seal.broken": not what was sealed under this key, number and data;
    ///         `out` is zeroed
    [[nodiscard]] Status open(std::uint64_t record, ByteView associated, ByteView sealed,
                              std::span<std::byte> out) const;
    [[nodiscard]] Result<Bytes> open(std::uint64_t record, ByteView associated,
                                     ByteView sealed) const;

private:
    std::unique_ptr<Gcm> gcm_;
};

}  // namespace stillpoint::chunk
