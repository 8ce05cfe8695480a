#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/quantity.hpp"
#include "chunk/chunk_id.hpp"
#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "vault/block_store.hpp"
#include "vault/disk_cache.hpp"
#include "vault/s3/s3_config.hpp"
#include "vault/upkeep.hpp"

/// The vault as the routes see it. docs/vault-format.md has the bytes; DESIGN section 8 the rules.
namespace stillpoint::vault {

enum class Encryption : std::uint8_t { none = 0, passphrase = 1, keyfile = 2 };
enum class Compression : std::uint8_t { none = 0, zstd = 1, lz4 = 2 };

struct InitOptions {
    Encryption encryption = Encryption::passphrase;
    Compression compression = Compression::zstd;
    std::uint32_t chunk_bytes = 64u << 10;  // power of two, 16 KiB … 1 MiB
};

/// What opens a vault: a passphrase, 32 raw key bytes, or nothing (encryption none).
struct KeyMaterial {
    std::string passphrase;
    Bytes raw_key;
};

/// Roots of things that are no disks (files of a VM's configuration) have names that begin with it.
inline constexpr char attachment_mark = '@';
[[nodiscard]] inline bool is_attachment(const std::string& root_name) {
    return !root_name.empty() && root_name.front() == attachment_mark;
}

/// The root of one disk's block map at one point: a proof over every byte, zeros included.
struct DiskRoot {
    std::string disk;  // name in the VM definition
    ByteCount size;
    chunk::ChunkId root;  // covers size, chunk size and fan-out
    friend bool operator==(const DiskRoot&, const DiskRoot&) = default;
};

/// A recovery point: what reaches data (disks) and a document that the vault does not look into.
struct Point {
    PointId id;
    std::string vm_name;
    std::string vm_uuid;             // may be empty (plain QEMU without uuid)
    std::vector<DiskRoot> disks;     // attachments too; all the same to check and gc
    Bytes document;                  // CBOR of the point's report and definition; see route/
    std::uint64_t object_bytes = 0;  // size of the point's object in the store; set by reading
    bool recovered = false;          // brought back by a repair, not confirmed yet; set by reading
};

struct WriteCounts {
    std::uint64_t shipped_bytes =
        0;                           // plaintext that differs from the parent's map, zeros excluded
    std::uint64_t stored_bytes = 0;  // sealed chunk bytes added to packs
};

/// Writes one disk of one run. Blocks may come in any order and from several threads, each at most
/// once; blocks not given keep the parent's content (no parent: zero).
class DiskWriter {
public:
    virtual ~DiskWriter() = default;
    /// @param bytes the block's full length (the last block of a disk: its true length)
    /// @threads any, concurrently
    virtual Status put(BlockIndex block, ByteView bytes) = 0;
    /// Blocks [first, first+count) read as zeros from now on. @threads any, concurrently
    virtual Status put_zeros(BlockIndex first, std::uint64_t count) = 0;
    /// After the last put: writes the map. @threads one
    virtual Result<DiskRoot> finish() = 0;
    [[nodiscard]] virtual WriteCounts counts() const = 0;
};

/// One backup run: its `runs/` object exists before the first lookup. Destroying an unpublished run
/// leaves packs that a later gc removes, and nothing else.
class Run {
public:
    virtual ~Run() = default;
    /// @param parent the disk's root to build on (its size may differ); nullopt: all zeros
    /// @errors corrupt: the parent's map is damaged
    virtual Result<std::unique_ptr<DiskWriter>> open_disk(const std::string& disk, ByteCount size,
                                                          std::optional<DiskRoot> parent) = 0;
    /// Flushes packs, then the index segments; all durable (I1) when it returns. Call after every
    /// disk's finish() and before publish().
    virtual Status flush() = 0;
    /// Makes the recovery point appear: the last write of a backup (I1).
    /// @errors refused, id "vault.lease_lapsed": this run's lease ended; nothing was published
    virtual Status publish(const Point& point) = 0;
    /// All bytes this run added to the store so far: packs, map packs, index, point, run object.
    [[nodiscard]] virtual std::uint64_t stored_total_bytes() const = 0;
};

/// A stretch of a disk, as its map describes it.
struct MapRun {
    enum class Kind { zeros, data, damaged };
    Kind kind = Kind::zeros;
    BlockIndex first;
    std::uint64_t count = 0;
    std::string text;  // damaged: what is wrong with the map node that covers these blocks
};

/// Reads one disk at one point. Every byte is authenticated and checked against its id.
/// @threads any, concurrently
class DiskReader {
public:
    virtual ~DiskReader() = default;
    [[nodiscard]] virtual ByteCount size() const = 0;
    [[nodiscard]] virtual std::uint32_t chunk_bytes() const = 0;
    /// @return the block's bytes at its true length; an empty vector: all zeros
    /// @errors corrupt: damage, text names pack and chunk
    virtual Result<Bytes> block(BlockIndex block) = 0;
    /// Next block >= `from` that is not zero; nullopt: none. Used for sparse restores.
    virtual Result<std::optional<BlockIndex>> next_data(BlockIndex from) = 0;
    /// The id that the map names for a block; nullopt: zero.
    virtual Result<std::optional<chunk::ChunkId>> id_at(BlockIndex block) = 0;
    /// What starts at `from` (before the disk's end): blocks of one kind, as far as one map node
    /// tells. Runs one after the other cover the disk; a damaged node is a run, not an error.
    /// @errors what is not damage: io and the like
    virtual Result<MapRun> run_at(BlockIndex from) = 0;
};

/// Computes a disk's root anew from the ids of the blocks that were really written or read (I8).
/// Every block must be given once, in any order. @threads any, concurrently; finish: one, last
class RootProof {
public:
    virtual ~RootProof() = default;
    virtual Status put(BlockIndex block, const chunk::ChunkId& id) = 0;
    virtual Status put_zeros(BlockIndex first, std::uint64_t count) = 0;
    virtual Result<chunk::ChunkId> finish() = 0;
};

enum class BlockChange { written, zeroed };
/// Called for each block that differs, ascending. An error stops the comparison.
using BlockDiffFn = std::function<Status(BlockIndex block, BlockChange change)>;

/// Both oldest first. Whose VM an unreadable one is, only its content would tell.
struct PointList {
    std::vector<Point> points;
    std::vector<UnreadablePoint> unreadable;
};

class Vault {
public:
    virtual ~Vault() = default;
    /// @return 8 lower-case hex digits, used in bitmap names
    [[nodiscard]] virtual std::string short_id() const = 0;
    [[nodiscard]] virtual std::uint32_t chunk_bytes() const = 0;
    /// All points, those that cannot be read apart.
    virtual Result<PointList> point_list() = 0;
    /// Those that can be read, oldest first: for whoever can do nothing about the others.
    Result<std::vector<Point>> points() {
        SP_ASSIGN(PointList list, point_list());
        return std::move(list.points);
    }
    /// @errors not_found · corrupt
    virtual Result<Point> point(const PointId& id) = 0;
    virtual Result<std::unique_ptr<Run>> begin_run(const PointId& id) = 0;
    virtual Result<std::unique_ptr<DiskReader>> open_disk(const DiskRoot& root) = 0;
    /// What differs between two states of a disk, in time proportional to that.
    /// @errors corrupt: a map is damaged
    virtual Status diff(const DiskRoot& before, const DiskRoot& now,
                        const BlockDiffFn& differs) = 0;
    /// Removes the point's object only; gc frees the space.
    virtual Status forget(const PointId& id) = 0;
    virtual Result<CheckResult> check(CheckDepth depth, const ProgressFn& progress,
                                      const env::CancelToken& cancel) = 0;
    /// @errors corrupt: a map is damaged · not_found: a point to forget is not there · cancelled
    virtual Result<Stats> stats(const StatsRequest& request, const env::CancelToken& cancel) = 0;
    /// Frees what no point and no running backup reaches; never blocks a backup.
    /// @errors corrupt, id "gc.damage": nothing was deleted · busy, id "gc.running" · cancelled
    virtual Result<GcResult> collect(const GcOptions& options, const ProgressFn& progress,
                                     const env::CancelToken& cancel) = 0;
    /// Rebuilds what can be rebuilt: the index from packs, points from their copies.
    /// @errors busy, id "gc.running" · cancelled
    virtual Result<RepairResult> repair(const RepairOptions& options, const ProgressFn& progress,
                                        const env::CancelToken& cancel) = 0;
    /// A point that a repair brought back counts as any other from now on.
    /// @errors not_found, id "point.not_found" · refused, id "point.not_recovered"
    virtual Status confirm(const PointId& id) = 0;
    /// The keyed id of a block's plaintext, for compare mode and verify. @threads any
    [[nodiscard]] virtual chunk::ChunkId id_of(ByteView plaintext) const = 0;
    /// Starts a proof for a disk of this size: the result equals the root of an intact disk.
    virtual Result<std::unique_ptr<RootProof>> prove(ByteCount size) = 0;
};

/// Whether a block that changed a little is stored as its difference from the version before: the
/// chunk that has that is read first. Reading such chunks is always possible.
enum class DataDeltas {
    never,
    local_stores,  // where a read costs no round trip, in vaults that compress with zstd
};
struct VaultOptions {
    DataDeltas data_deltas = DataDeltas::local_stores;
};

/// Creates an empty vault. @errors busy, id "vault.exists" · invalid
[[nodiscard]] Status init_vault(BlockStore& store, const InitOptions& options,
                                const KeyMaterial& key);
/// @param store outlives the vault
/// @errors not_found, id "vault.missing" · denied, id "vault.wrong_key" or "vault.key_needed" ·
///         unsupported, id "vault.newer_format" · corrupt, id "vault.key_damaged"
[[nodiscard]] Result<std::unique_ptr<Vault>> open_vault(BlockStore& store, const KeyMaterial& key,
                                                        const env::Clock& clock,
                                                        const VaultOptions& options = {});
/// One key of a vault: a slot that holds the master key, wrapped.
struct KeyInfo {
    std::string id;  // 8 lower-case hex digits
    Encryption encryption = Encryption::passphrase;
    bool opened = false;   // by the key that was given
    bool damaged = false;  // nothing opens it; the other facts are not known
};

/// Keys can be changed at any time, while backups run too: no data is written anew, because what
/// the slots hold stays the same. So a key that was removed opens the vault no longer, but whoever
/// kept the master key that it unwrapped before, or an older copy of the slot, still reads all.
/// @param key one that opens the vault now
/// @errors as open_vault · invalid, id "vault.no_keys": not encrypted
[[nodiscard]] Result<std::vector<KeyInfo>> list_keys(BlockStore& store, const KeyMaterial& key);
/// @return the new key's id; it was read back and opens
/// @errors as list_keys · refused, id "vault.keys_full" · invalid, id "vault.key_invalid" or
///         "vault.key_known": it opens the vault already
[[nodiscard]] Result<std::string> add_key(BlockStore& store, const KeyMaterial& key,
                                          const KeyMaterial& fresh);
/// @errors as list_keys · not_found, id "vault.no_such_key" · refused, id "vault.key_in_use": that
///         one was used to open · busy, id "vault.key_race"
[[nodiscard]] Status remove_key(BlockStore& store, const KeyMaterial& key, const std::string& id);
/// Puts `fresh` in the place of `key`: added first, then the old one removed.
/// @return the new key's id @errors as add_key and remove_key
[[nodiscard]] Result<std::string> rotate_key(BlockStore& store, const KeyMaterial& key,
                                             const KeyMaterial& fresh);

/// What the config object says, readable without a key.
[[nodiscard]] Result<InitOptions> read_vault_config(BlockStore& store);
struct StoreWatch {
    env::Nanoseconds stall_max = store_stall_default;
    env::CancelToken cancel;
};
/// What to do about files of a server or a disk that hangs.
enum class HangingFiles {
    wait,     // a call may take for ever
    give_up,  // as the watch says; each call costs two changes of thread. For backups and what only
              // reads (ADR-0014); a removal that was given up could happen when nobody expects it
};
struct StoreOptions {
    StoreWatch watch;
    HangingFiles hanging = HangingFiles::wait;
    S3Config s3;
    std::optional<DiskCache::Limits> cache;  // metadata of an object store, kept on this host
};
/// @param url file:///path, an absolute path, or s3://bucket/prefix (docs/stores.md). An object
///        store keeps to the watch always, files if the options say so.
/// @errors invalid, id "vault.url" or "s3.url" · timeout, id "vault.store_stalled" · cancelled,
///         soon after the wish
[[nodiscard]] Result<std::unique_ptr<BlockStore>> open_store(const std::string& url,
                                                             const StoreOptions& options = {});

}  // namespace stillpoint::vault
