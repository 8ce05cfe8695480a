#include "vault/chunk_index.hpp"

#include <algorithm>
#include <mutex>

namespace stillpoint::vault {
namespace {

constexpr std::size_t recent_entries_max = 512;  // an insertion moves at most 8 KiB

std::size_t part_of(const IndexKey& key) {
    return std::to_integer<std::size_t>(key[0]);
}

struct ByKey {
    bool operator()(const SegmentEntry& a, const IndexKey& b) const { return a.key < b; }
    bool operator()(const IndexKey& a, const SegmentEntry& b) const { return a < b.key; }
};

void merge_into(std::vector<SegmentEntry>& sorted, std::vector<SegmentEntry>& more) {
    std::vector<SegmentEntry> merged;
    merged.reserve(sorted.size() + more.size());  // exactly: growth by doubling would waste half
    std::merge(sorted.begin(), sorted.end(), more.begin(), more.end(), std::back_inserter(merged));
    sorted = std::move(merged);
    more.clear();
}

}  // namespace

std::uint32_t ChunkIndex::ordinal_of(const PackName& name) {
    const auto [at, added] =
        content_.ordinals.emplace(name, static_cast<std::uint32_t>(content_.packs.size()));
    if (added) content_.packs.push_back(name);
    return at->second;
}

void ChunkIndex::insert(Part& part, std::vector<SegmentEntry>::const_iterator from,
                        std::vector<SegmentEntry>::const_iterator to,
                        const std::vector<std::uint32_t>& ordinals) {
    std::vector<SegmentEntry> more;
    more.reserve(static_cast<std::size_t>(to - from));
    std::transform(from, to, std::back_inserter(more), [&](SegmentEntry entry) {
        entry.pack = ordinals[entry.pack];
        return entry;
    });
    std::sort(more.begin(), more.end());
    merge_into(part.recent, more);
    if (part.recent.size() > recent_entries_max) merge_into(part.sorted, part.recent);
}

void ChunkIndex::add(const Segment& segment) {
    const std::unique_lock lock{mutex_};
    std::vector<std::uint32_t> ordinals;
    for (const SegmentPack& pack : segment.packs) ordinals.push_back(ordinal_of(pack.name));
    for (auto from = segment.entries.begin(); from != segment.entries.end();) {
        const std::size_t part = part_of(from->key);
        const auto to = std::find_if(from, segment.entries.end(), [&](const SegmentEntry& entry) {
            return part_of(entry.key) != part;
        });
        insert(content_.parts[part], from, to, ordinals);
        from = to;
    }
    content_.entries += segment.entries.size();
}

std::vector<IndexHit> ChunkIndex::find(const chunk::ChunkId& id) const {
    const IndexKey key = index_key(id);
    const std::shared_lock lock{mutex_};
    const Part& part = content_.parts[part_of(key)];
    std::vector<IndexHit> hits;
    for (const auto* entries : {&part.recent, &part.sorted}) {
        const auto [from, to] = std::equal_range(entries->begin(), entries->end(), key, ByKey{});
        for (auto it = from; it != to; ++it) {
            const PackName& pack = content_.packs[it->pack];
            hits.push_back({pack, it->slot, content_.condemned.contains(pack)});
        }
    }
    std::stable_partition(hits.begin(), hits.end(),
                          [](const IndexHit& hit) { return !hit.condemned; });
    return hits;
}

void ChunkIndex::condemn(const PackName& pack) {
    const std::unique_lock lock{mutex_};
    content_.condemned.insert(pack);
}

bool ChunkIndex::is_condemned(const PackName& pack) const {
    const std::shared_lock lock{mutex_};
    return content_.condemned.contains(pack);
}

void ChunkIndex::swap(ChunkIndex& fresh) {
    const std::unique_lock lock{mutex_};
    std::swap(content_, fresh.content_);
}

std::uint64_t ChunkIndex::entries() const {
    const std::shared_lock lock{mutex_};
    return content_.entries;
}

std::vector<PackName> ChunkIndex::packs() const {
    const std::shared_lock lock{mutex_};
    std::vector<PackName> sorted = content_.packs;
    std::sort(sorted.begin(), sorted.end());
    return sorted;
}

}  // namespace stillpoint::vault
