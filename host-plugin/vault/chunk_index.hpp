#pragma once
#include <array>
#include <map>
#include <set>
#include <shared_mutex>
#include <vector>

#include "vault/index_segment.hpp"

namespace stillpoint::vault {

/// Segments that are held in memory: 16 bytes a chunk, sorted, in 256 parts by the id's first byte,
/// so that growing one never needs room for two. VaultIndex decides which.
/// @threads any, concurrently
class ChunkIndex {
public:
    void add(const Segment& segment);
    /// All entries whose key is that of the id; those of packs not condemned first.
    [[nodiscard]] std::vector<IndexHit> find(const chunk::ChunkId& id) const;
    /// The pack may be one that no segment here names.
    void condemn(const PackName& pack);
    [[nodiscard]] bool is_condemned(const PackName& pack) const;
    /// Takes over the content of another that nobody else uses yet.
    void swap(ChunkIndex& fresh);
    [[nodiscard]] std::uint64_t entries() const;
    [[nodiscard]] std::vector<PackName> packs() const;  // sorted

private:
    /// `sorted` is large and rarely merged; `recent` is small, sorted by insertion.
    struct Part {
        std::vector<SegmentEntry> sorted, recent;
    };
    std::uint32_t ordinal_of(const PackName& name);
    static void insert(Part& part, std::vector<SegmentEntry>::const_iterator from,
                       std::vector<SegmentEntry>::const_iterator to,
                       const std::vector<std::uint32_t>& ordinals);

    struct Content {
        std::array<Part, 256> parts;
        std::vector<PackName> packs;
        std::map<PackName, std::uint32_t> ordinals;
        std::set<PackName> condemned;
        std::uint64_t entries = 0;
    };
    mutable std::shared_mutex mutex_;
    Content content_;
};

}  // namespace stillpoint::vault
