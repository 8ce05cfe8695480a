#pragma once
#include <functional>
#include <memory>
#include <string>

#include "base/bytes.hpp"
#include "chunk/compress.hpp"
#include "chunk/delta.hpp"
#include "chunk/hash.hpp"
#include "chunk/seal.hpp"
#include "env/clock.hpp"
#include "vault/block_store.hpp"
#include "vault/config.hpp"
#include "vault/index_limits.hpp"

namespace stillpoint::vault {

/// Kinds of sealed objects; the number is part of the format (header, key derivation and
/// associated data).
enum class ObjectKind : std::uint8_t {
    pack = 1,
    index = 2,
    point = 3,
    run = 4,
    condemned = 5,
    key = 6,
    waits = 7,
};

using RandomSource = std::function<Bytes(std::size_t count)>;

/// The keys of an open vault; all derived from the master key, none ever stored.
/// @threads any, concurrently
class VaultKeys {
public:
    VaultKeys(const chunk::SecretKey& master, VaultId id);
    /// The key of one object: HKDF-SHA-256(master, salt of its header, kind).
    [[nodiscard]] chunk::SealKey object_key(ObjectKind kind, ByteView salt) const;
    /// Ids of data chunks.
    [[nodiscard]] const chunk::ChunkHasher& data_ids() const { return data_ids_; }
    /// Ids of map nodes and disk roots: a key of their own, so that no guest can write a block
    /// that has the id of a node.
    [[nodiscard]] const chunk::ChunkHasher& node_ids() const { return node_ids_; }
    [[nodiscard]] const VaultId& vault_id() const { return id_; }

private:
    chunk::SecretKey master_;
    VaultId id_;
    chunk::ChunkHasher data_ids_, node_ids_;
};

/// What all parts of one open vault share.
/// @threads any, concurrently
struct VaultCore {
    VaultCore(BlockStore& its_store, DecodedConfig decoded, const chunk::SecretKey& master,
              const env::Clock& its_clock, RandomSource its_random);
    BlockStore& store;  // outlives the core
    VaultConfig config;
    VaultKeys keys;
    const env::Clock& clock;  // outlives the core
    RandomSource random;
    chunk::Compressor compressor;
    chunk::DeltaCodec delta_codec;
    DataDeltas data_deltas = DataDeltas::local_stores;  // of runs that begin from now on
    IndexLimits index_limits;                           // of each index that is opened from now on
};

/// Reads `config` and the key slots and unwraps the master key: the first half of open_vault().
/// @errors not_found, id "vault.missing" · denied, id "vault.wrong_key", "vault.key_needed" or
///         "vault.not_encrypted" (a key was given, but this vault has none) · unsupported, id
///         "vault.newer_format" · corrupt, id "vault.key_damaged" or "vault.config_damaged"
[[nodiscard]] Result<std::shared_ptr<VaultCore>> unlock_vault(BlockStore& store,
                                                              const KeyMaterial& key,
                                                              const env::Clock& clock);

}  // namespace stillpoint::vault
