#include "vault/check.hpp"

#include <atomic>
#include <set>
#include <unordered_set>

#include "base/hex.hpp"
#include "env/workers.hpp"
#include "vault/damage_log.hpp"
#include "vault/each_pack.hpp"
#include "vault/id_set.hpp"
#include "vault/key_slots.hpp"
#include "vault/map_reader.hpp"
#include "vault/opened_vault.hpp"
#include "vault/pack_check.hpp"
#include "vault/point_copies.hpp"
#include "vault/point_record.hpp"

namespace stillpoint::vault {
namespace {

using Damaged = std::unordered_set<chunk::ChunkId, chunk::ChunkIdHash>;

class Checker {
public:
    Checker(StoredChunks& chunks, const CheckOptions& options)
        : chunks_(chunks),
          options_(options),
          log_(options.damage_max),
          nodes_(chunks, [&core = chunks.core()](ByteView bytes) {
              return core.keys.node_ids().id_of(bytes);
          }) {}

    Result<CheckResult> run();

private:
    struct Walk {
        const PointId& point;
        const DiskRoot& disk;
        MapShape shape;
    };
    Status check_packs();
    Status read_packs(const std::set<PackName>& names, const PackListing& listing);
    Status read_pack(const PackName& name, std::uint64_t total_bytes, PackMemory& memory);
    Status check_points();
    Status check_copies();
    Status check_disk(const Point& point, const DiskRoot& disk);
    Result<bool> check_node(const Walk& walk, unsigned level, std::uint64_t index,
                            const chunk::ChunkId& id);
    Result<bool> check_block(const Walk& walk, BlockIndex block, const chunk::ChunkId& id);
    Result<std::optional<std::string>> trouble_with(const chunk::ChunkId& id, std::uint32_t length);
    void note(const Walk& walk, std::uint64_t first, std::uint64_t count, const std::string& text);
    void tell(std::uint64_t done, std::uint64_t total);
    /// As many side by side as the store is worth; `each` may only add to the log.
    Status at_once(std::size_t count, const std::function<Status(std::size_t)>& each) {
        return env::each_at_once(count, chunks_.core().store.calls_at_once(), options_.cancel,
                                 each);
    }

    StoredChunks& chunks_;
    const CheckOptions& options_;
    DamageLog log_;
    NodeLoader nodes_;  // of its own: a node that was cached before the damage must not hide it
    std::mutex mutex_;  // guards damaged_ and the progress callback while packs are read
    Damaged damaged_;   // a copy of these is broken; another may be whole
    std::vector<IdSet> clean_{64};  // by level: nodes below which all is well
    std::atomic<std::uint64_t> bytes_read_{0}, packs_read_{0};
    std::uint64_t points_ = 0;
};

Result<CheckResult> Checker::run() {
    SP_ASSIGN(const auto plain, check_plain_objects(chunks_.core().store));
    for (const std::string& text : plain) log_.add(text);
    SP_TRY(chunks_.prove_index(options_.cancel));
    for (const std::string& text : chunks_.index_damage()) log_.add(text);
    SP_TRY(check_packs());
    SP_TRY(check_points());
    SP_TRY(check_copies());
    return CheckResult{log_.take(), points_, bytes_read_.load(), packs_read_.load()};
}

Status Checker::check_packs() {
    SP_ASSIGN(const PackListing listing, list_packs(chunks_.core().store));
    for (const std::string& name : listing.strangers) {
        log_.add("object " + name + " is not named like a pack");
    }
    const auto named = chunks_.packs();
    if (!named && named.error().code != Errc::corrupt) return fail(named.error());
    // A pack table that is damaged was reported with its segment; what hits points is found below.
    const std::vector<PackName>& indexed = named ? *named : listing.packs;
    if (options_.depth == CheckDepth::read_data) {
        std::set<PackName> names{indexed.begin(), indexed.end()};
        names.insert(listing.packs.begin(), listing.packs.end());
        return read_packs(names, listing);
    }
    return at_once(indexed.size(), [&](std::size_t at) -> Status {
        const auto directory = chunks_.directory(indexed[at]);
        if (directory) return {};
        if (directory.error().code != Errc::corrupt) return fail(directory.error());
        log_.add(directory.error().text);
        return {};
    });
}

Status Checker::read_packs(const std::set<PackName>& names, const PackListing& listing) {
    return for_each_pack({names.begin(), names.end()}, listing.largest_bytes, options_.cancel,
                         [&](const PackName& name, PackMemory& memory) {
                             return read_pack(name, listing.bytes, memory);
                         });
}

Status Checker::read_pack(const PackName& name, std::uint64_t total_bytes, PackMemory& memory) {
    SP_ASSIGN(const PackVerdict verdict, verify_pack(chunks_.core(), name, memory));
    for (const std::string& text : verdict.pack_damage) log_.add(text);
    for (const DamagedRecord& record : verdict.records) {
        log_.add(name.object() + ": " + record.text);
    }
    if (!verdict.missing) ++packs_read_;
    const std::scoped_lock lock{mutex_};
    const std::uint64_t done = bytes_read_ += verdict.bytes_read;
    for (const DamagedRecord& record : verdict.records) damaged_.insert(record.id);
    tell(done, std::max(done, total_bytes));
    return {};
}

/// A point that is gone and was not forgotten, and copies that are damaged.
Status Checker::check_copies() {
    const VaultCore& core = chunks_.core();
    SP_ASSIGN(const auto lost, lost_points(core));
    for (const PointId& id : lost) {
        log_.add({id,
                  {},
                  {},
                  "the recovery point is gone and was not forgotten: `stillpoint vault repair` "
                  "brings it back"});
    }
    SP_ASSIGN(const auto copies, list_copies(core));
    return at_once(copies.size(), [&](std::size_t at) -> Status {
        const auto copy = load_copy_content(core, copies[at]);
        if (copy || copy.error().code == Errc::not_found) return {};  // forgotten meanwhile
        if (copy.error().code != Errc::corrupt) return fail(copy.error());
        log_.add(copy.error().text);
        return {};
    });
}

Status Checker::check_points() {
    SP_ASSIGN(const PointListing listing, list_points(chunks_.core().store));
    for (const std::string& name : listing.strangers) {
        log_.add("object " + name + " is not named like a recovery point");
    }
    for (const PointId& id : listing.ids) {
        SP_TRY(options_.cancel.check());
        const auto point = load_point(chunks_.core(), id);
        if (!point && point.error().code == Errc::not_found) continue;  // forgotten meanwhile
        ++points_;
        if (!point && point.error().code != Errc::corrupt) return fail(point.error());
        if (!point) {
            log_.add({id, {}, {}, point.error().text});
            continue;
        }
        for (const DiskRoot& disk : point->disks) SP_TRY(check_disk(*point, disk));
        if (options_.depth == CheckDepth::structure) tell(points_, listing.ids.size());
    }
    return {};
}

Status Checker::check_disk(const Point& point, const DiskRoot& disk) {
    auto map = MapReader::open(nodes_, disk.root);
    if (!map && map.error().code != Errc::corrupt) return fail(std::move(map).error());
    std::string text;
    if (!map) {
        text = map.error().text;
    } else if (map->shape().size() != disk.size ||
               map->shape().chunk_bytes() != chunks_.core().config.chunk_bytes) {
        text = "its block map is of another disk or vault";
    }
    if (!text.empty()) {
        log_.add({point.id, disk.disk, {ByteOffset{0}, disk.size}, text});
        return {};
    }
    if (!map->top()) return {};
    const Walk walk{point.id, disk, map->shape()};
    const auto whole = check_node(walk, walk.shape.depth() - 1, 0, *map->top());
    if (!whole) return fail(whole.error());
    return {};
}

// @return whether everything below is well
Result<bool> Checker::check_node(const Walk& walk, unsigned level, std::uint64_t index,
                                 const chunk::ChunkId& id) {
    const std::uint64_t first = walk.shape.first_block(level, index);
    const std::uint64_t span = walk.shape.span(level + 1);
    // A node on the disk's edge is looked at each time: what is past the edge differs by disk.
    const bool inside = first + span <= walk.shape.blocks();
    if (inside && clean_[level].contains(id)) return true;
    SP_TRY(options_.cancel.check());
    const auto node = nodes_.node(id, level, walk.shape.fan_out());
    if (!node && node.error().code != Errc::corrupt) return fail(node.error());
    if (!node || (*node)->next(walk.shape.children(level, index))) {
        note(walk, first, span, node ? "block map names blocks past its end" : node.error().text);
        return false;
    }
    bool whole = true;
    for (auto slot = (*node)->next(0); slot; slot = (*node)->next(*slot + 1)) {
        const std::uint64_t child = index * walk.shape.fan_out() + *slot;
        const chunk::ChunkId below = *(*node)->child(*slot);
        SP_ASSIGN(const bool good, level == 0 ? check_block(walk, BlockIndex{child}, below)
                                              : check_node(walk, level - 1, child, below));
        whole = whole && good;
    }
    if (whole && inside) clean_[level].insert(id);
    return whole;
}

Result<bool> Checker::check_block(const Walk& walk, BlockIndex block, const chunk::ChunkId& id) {
    SP_ASSIGN(const auto trouble, trouble_with(id, walk.shape.length_of(block)));
    if (!trouble) return true;
    note(walk, block.raw(), 1, *trouble);
    return false;
}

Result<std::optional<std::string>> Checker::trouble_with(const chunk::ChunkId& id,
                                                         std::uint32_t length) {
    const auto place = chunks_.locate(id);
    if (!place && place.error().code != Errc::corrupt) return fail(place.error());
    if (!place) return place.error().text;
    if (place->entry.plain_bytes != length) {
        return "chunk " + to_hex(id.view()).substr(0, 16) + " has a wrong length";
    }
    const bool suspect = damaged_.contains(id) || (place->base && damaged_.contains(*place->base));
    if (!suspect) return std::nullopt;
    const auto bytes = chunks_.get(id, Content::data);  // from another copy, if there is one
    if (bytes) return std::nullopt;
    if (bytes.error().code != Errc::corrupt) return fail(bytes.error());
    return bytes.error().text;
}

void Checker::note(const Walk& walk, std::uint64_t first, std::uint64_t count,
                   const std::string& text) {
    const std::uint64_t at = first * walk.shape.chunk_bytes();
    const std::uint64_t end =
        std::min((first + count) * walk.shape.chunk_bytes(), walk.disk.size.raw());
    log_.add({walk.point, walk.disk.disk, {ByteOffset{at}, ByteCount{end - at}}, text});
}

void Checker::tell(std::uint64_t done, std::uint64_t total) {
    if (options_.progress) options_.progress(done, total);
}

}  // namespace

Result<CheckResult> check_vault(StoredChunks& chunks, const CheckOptions& options) {
    return Checker{chunks, options}.run();
}

}  // namespace stillpoint::vault
