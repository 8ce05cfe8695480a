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

/// Where a chunk probably lies: the full id is not known here.
struct IndexHit {
    PackName pack;
    std::uint32_t slot = 0;
    bool condemned = false;
};

inline constexpr std::size_t index_page_bytes = 4096;
// What the format carries in one segment: the fan-out table counts in 32 bits. A pack table of that
// length (384 MiB) names 256 TiB of full packs.
inline constexpr std::uint64_t index_entries_max = 0xffffffff;
inline constexpr std::uint32_t index_packs_max = 1u << 23;

/// @return names/<32 hex> of a new segment
[[nodiscard]] std::string new_segment_name(const RandomSource& random);
/// @param segment entries in any order
[[nodiscard]] Bytes encode_segment(const VaultCore& core, const std::string& name, Segment segment);
/// Reads a whole segment into memory, 16 bytes an entry and 48 a pack.
/// @param object_bytes length of the object, as the store lists it
/// @errors corrupt, id "vault.index_damaged" · not_found · io
[[nodiscard]] Result<Segment> load_segment(const VaultCore& core, const std::string& name,
                                           ByteCount object_bytes);
[[nodiscard]] Result<Segment> load_segment(const VaultCore& core, const std::string& name);

}  // namespace stillpoint::vault
