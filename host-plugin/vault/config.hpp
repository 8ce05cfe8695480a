#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "base/bytes.hpp"
#include "base/limits.hpp"
#include "chunk/hash.hpp"
#include "chunk/secret.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault {

using VaultId = std::array<std::byte, 16>;

inline constexpr std::uint32_t format_version = 1;
inline constexpr std::uint32_t pack_bytes_default = 32u << 20;
inline constexpr std::uint32_t map_fan_out_default = 64;

/// The `config` object: what every reader needs before it has a key. Immutable.
struct VaultConfig {
    VaultId id{};
    Encryption encryption = Encryption::passphrase;
    Compression compression = Compression::zstd;
    std::uint32_t chunk_bytes = limits::chunk_bytes_default;
    std::uint32_t pack_bytes = pack_bytes_default;    // 16-64 MiB
    std::uint32_t map_fan_out = map_fan_out_default;  // power of two, 16-256
    std::string open_key;  // encryption none: the master key, 64 hex digits; else empty
    friend bool operator==(const VaultConfig&, const VaultConfig&) = default;
};

/// @return the object's bytes: the same text twice, each with a checksum, each padded to
///         config_copy_bytes
[[nodiscard]] Bytes encode_config(const VaultConfig& config);

struct DecodedConfig {
    VaultConfig config;
    chunk::Digest digest{};  // of one copy; the key slots are bound to it
    bool damaged = false;    // one of the two copies is not as written
};
/// @errors corrupt, id "vault.config_damaged": neither copy is as written ·
///         unsupported, id "vault.newer_format"
[[nodiscard]] Result<DecodedConfig> decode_config(ByteView bytes);

/// @errors not_found, id "vault.missing" · as decode_config
[[nodiscard]] Result<DecodedConfig> load_config(BlockStore& store);

}  // namespace stillpoint::vault
