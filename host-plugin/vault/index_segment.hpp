#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "vault/pack_format.hpp"

/// Bytes of an index segment: header, then sealed pages of 4 KiB.
/// docs/vault-format.md, section "Index segments".
namespace stillpoint::vault {

/// The first bytes of an id: enough to find it, not to prove it; a hit is confirmed against the
/// full id in the pack's directory.
using IndexKey = std::array<std::byte, 10>;
[[nodiscard]] IndexKey index_key(const chunk::ChunkId& id);

struct SegmentEntry {
    IndexKey key{};
    std::uint16_t slot = 0;
    std::uint32_t pack = 0;  // position in the segment's pack table
    friend auto operator<=>(const SegmentEntry&, const SegmentEntry&) = default;
};
static_assert(sizeof(SegmentEntry) == 16);

struct SegmentPack {
    PackName name;
    std::uint32_t pack_bytes = 0;
    std::uint32_t records = 0;
    Content content = Content::data;
    friend bool operator==(const SegmentPack&, const SegmentPack&) = default;
};

struct Segment {
    std::vector<SegmentPack> packs;
    std::vector<SegmentEntry> entries;  // sorted
};

inline constexpr std::size_t index_page_bytes = 4096;
inline constexpr std::uint64_t index_entries_max = 10'000'000;  // held in memory: 160 MB
inline constexpr std::uint32_t index_packs_max = 1u << 20;      // of one segment

/// @return names/<32 hex> of a new segment
[[nodiscard]] std::string new_segment_name(const RandomSource& random);
/// @param segment entries in any order
[[nodiscard]] Bytes encode_segment(const VaultCore& core, const std::string& name, Segment segment);
/// Reads page by page, so that no length is believed before a page proved it.
/// @errors corrupt, id "vault.index_damaged" · unsupported, id "vault.index_full"
[[nodiscard]] Result<Segment> load_segment(const VaultCore& core, const std::string& name);

}  // namespace stillpoint::vault
