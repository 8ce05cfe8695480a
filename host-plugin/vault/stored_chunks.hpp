#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "env/cancel.hpp"
#include "vault/chunk_store.hpp"
#include "vault/pack_format.hpp"
#include "vault/vault_core.hpp"

namespace stillpoint::vault {

class PackReader;
enum class Next;
class RecordCache;
class VaultIndex;
struct IndexHit;
struct ObjectInfo;
struct Segment;

/// Where one chunk lies.
struct ChunkPlace {
    PackName pack;
    std::uint32_t slot = 0;
    DirectoryEntry entry;                // from the pack's directory: the full id is confirmed
    std::optional<chunk::ChunkId> base;  // of a delta: nothing without it
};

/// What others may be stored as a difference from.
struct BaseRecord {
    chunk::ChunkId id;
    std::shared_ptr<const Bytes> plaintext;
    std::uint32_t stored_bytes = 0;  // sealed
};

/// All chunks that the vault's index names: reading, and what check and stats need.
/// @threads any, concurrently
class StoredChunks final : public ChunkStore {
public:
    /// Loads small index segments and opens the others (see VaultIndex). A damaged segment is noted
    /// (see index_damage), not fatal: its chunks are missing, everything else can be read.
    static Result<std::unique_ptr<StoredChunks>> open(std::shared_ptr<VaultCore> core);
    ~StoredChunks() override;

    /// Refused, id "vault.read_only": writing needs a ChunkRun.
    Result<PutResult> put(const chunk::ChunkId& id, ByteView plaintext, Content content) override;
    Result<Bytes> get(const chunk::ChunkId& id, Content content) override;
    /// Finds a chunk without reading it. Of several copies the first whose pack directory is
    /// readable is named; a delta only if its base is found as well.
    /// @errors corrupt, id "vault.chunk_missing", "vault.pack_damaged" (a pack that should have
    ///         it is missing or its directory is damaged) or "vault.index_damaged" (a page of the
    ///         index that might name it is)
    Result<ChunkPlace> locate(const chunk::ChunkId& id);
    /// As locate(), of a copy that is no delta: what a delta builds on.
    Result<ChunkPlace> locate_whole(const chunk::ChunkId& id);

    /// Loads segments written since, forgets those that are gone, reads the condemned marks.
    Status refresh();
    /// Reads the segments that were only opened, too, and notes what is damaged in them.
    /// @errors cancelled · io
    Status prove_index(const env::CancelToken& cancel);
    /// One text for each index segment or mark that could not be read, so far.
    [[nodiscard]] std::vector<std::string> index_damage() const;
    /// Entries in the index, copies counted.
    [[nodiscard]] std::uint64_t chunk_count() const;
    /// Names of the packs that the index refers to, sorted; 1 MiB for 1 TiB in full packs.
    /// @errors corrupt, id "vault.index_damaged" · io
    [[nodiscard]] Result<std::vector<PackName>> packs();
    /// @errors corrupt, id "vault.pack_damaged": missing, cut, or the directory's seal is broken
    Result<std::shared_ptr<const PackDirectory>> directory(const PackName& pack);

    /// One record as it is stored: opened, not decompressed; asked for by who goes through a pack.
    /// @errors as directory()
    Result<Bytes> payload(const PackName& pack, std::uint32_t slot);

    [[nodiscard]] VaultCore& core() const { return *core_; }

private:
    friend class ChunkRun;
    enum class Form { any, whole };
    explicit StoredChunks(std::shared_ptr<VaultCore> core);
    Status load_into(VaultIndex& index, std::vector<ObjectInfo> segments);
    /// @param batch some of them, the largest last
    Status load_into(VaultIndex& index, std::span<const ObjectInfo> batch);
    /// A segment that a run of ours put: from now on its chunks are known to every run.
    Status add_own(const std::string& name, const Segment& segment);
    /// Where a writer may rely on a chunk being: confirmed and not condemned, its base likewise.
    Result<std::optional<ChunkPlace>> known(const chunk::ChunkId& id, Form form = Form::any);
    /// What a writer may store the successor of `previous` as a difference from: itself, or the
    /// base that it has. Nothing where there is none that can be relied on and read.
    Result<std::optional<BaseRecord>> base_after(const chunk::ChunkId& previous, Content content);
    [[nodiscard]] Next next_after(Content content) const;
    Result<ChunkPlace> confirm(const chunk::ChunkId& id, const IndexHit& hit, Form form);
    Result<ChunkPlace> find_whole(const chunk::ChunkId& id);
    Result<Bytes> read(const chunk::ChunkId& id, const ChunkPlace& place, Content content);
    Result<Bytes> read_delta(const ChunkPlace& place, Content content);
    Result<std::shared_ptr<const Bytes>> read_whole(const chunk::ChunkId& id, Content content);
    Result<std::optional<ChunkPlace>> known_once(const chunk::ChunkId& id, Form form);
    Result<std::optional<ChunkPlace>> reliable(const chunk::ChunkId& id,
                                               const std::vector<IndexHit>& hits, Form form);
    /// Whether a pack is in the store, seen there since a run began: what was read of it before, or
    /// is kept in a cache, does not say so. A gc that stood still may name what is gone.
    Result<bool> is_there(const PackName& pack);
    void forget_seen_packs();
    template <class T, class Use>
    Result<T> first_of(const chunk::ChunkId& id, Use&& use);
    template <class T, class Look>
    Result<T> look_again(Look&& look);
    bool moved_since(std::uint64_t generation);
    void note_damage(const Error& error);

    std::shared_ptr<VaultCore> core_;
    std::unique_ptr<VaultIndex> index_;
    std::unique_ptr<PackReader> reader_;
    std::unique_ptr<RecordCache> map_records_;
    mutable std::mutex refreshing_;
    std::set<std::string> seen_;                 // segments, also damaged ones
    std::map<std::string, std::string> damage_;  // text by object, or by itself
    std::mutex seeing_;
    std::set<PackName> seen_packs_;             // in the store, since the last run began
    std::atomic<std::uint64_t> generation_{0};  // counts the times that segments came or went
};

}  // namespace stillpoint::vault
