#pragma once
#include <array>
#include <memory>

#include "base/bytes.hpp"
#include "chunk/secret.hpp"

namespace stillpoint::chunk {

/// AES-256-GCM under one key, as two libraries have it.
/// @source NIST SP 800-38D @threads any, concurrently
class Gcm {
public:
    static constexpr std::size_t tag_bytes = 16;
    using Nonce = std::array<unsigned char, 12>;
    using Tag = std::array<std::byte, tag_bytes>;

    virtual ~Gcm() = default;
    /// @param out as long as `plaintext`, without a common byte
    virtual void encrypt(const Nonce& nonce, ByteView associated, ByteView plaintext,
                         std::span<std::byte> out, Tag& tag) const = 0;
    /// @param out as long as `ciphertext`, without a common byte
    /// @return whether the tag is right; what was written means nothing if it is not
    [[nodiscard]] virtual bool decrypt(const Nonce& nonce, ByteView associated, ByteView ciphertext,
                                       std::span<std::byte> out, const Tag& tag) const = 0;
};

[[nodiscard]] std::unique_ptr<Gcm> openssl_gcm(const SecretKey& key);
/// By the multi-buffer library, which uses the whole width of vector AES units: four times as fast
/// as OpenSSL 3.0.
/// @return null where the library is not there (it is for x86-64) or has no manager to give
[[nodiscard]] std::unique_ptr<Gcm> wide_gcm(const SecretKey& key);

}  // namespace stillpoint::chunk
