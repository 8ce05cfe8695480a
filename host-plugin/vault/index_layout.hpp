#pragma once
#include <algorithm>
#include <bit>

#include "chunk/seal.hpp"
#include "vault/index_segment.hpp"
#include "vault/padding.hpp"

/// How the rows of an index segment lie in its pages. docs/vault-format.md, "Index segments".
namespace stillpoint::vault {

inline constexpr std::size_t index_content_bytes = index_page_bytes - chunk::seal_overhead_bytes;
inline constexpr std::size_t pack_row_bytes = 48;
inline constexpr std::size_t entry_row_bytes = 16;
inline constexpr std::size_t fan_row_bytes = 4;
inline constexpr std::size_t packs_per_page = index_content_bytes / pack_row_bytes;     // 85
inline constexpr std::size_t entries_per_page = index_content_bytes / entry_row_bytes;  // 255
inline constexpr std::size_t fans_per_page = index_content_bytes / fan_row_bytes;       // 1020
inline constexpr unsigned fan_bits_max = 20;

[[nodiscard]] constexpr std::uint64_t pages_for(std::uint64_t rows, std::size_t per_page) {
    return (rows + per_page - 1) / per_page;
}

/// What the summary page says; everything about the layout follows from it.
struct SegmentShape {
    std::uint32_t packs = 0;
    std::uint64_t entries = 0;

    /// Enough prefixes that one of them covers about one page of entries.
    [[nodiscard]] unsigned fan_bits() const {
        const auto bits =
            static_cast<unsigned>(std::bit_width(pages_for(entries, entries_per_page)));
        return entries <= entries_per_page ? 0 : std::min(bits, fan_bits_max);
    }
    [[nodiscard]] std::uint64_t fans() const { return fan_bits() == 0 ? 0 : 1ull << fan_bits(); }
    // Numbers of the groups' first pages; the summary is page 0.
    [[nodiscard]] static std::uint64_t packs_page() { return 1; }
    [[nodiscard]] std::uint64_t fans_page() const {
        return packs_page() + pages_for(packs, packs_per_page);
    }
    [[nodiscard]] std::uint64_t entries_page() const {
        return fans_page() + pages_for(fans(), fans_per_page);
    }
    [[nodiscard]] std::uint64_t padding_page() const {
        return entries_page() + pages_for(entries, entries_per_page);
    }
    [[nodiscard]] std::uint64_t pages() const { return padme(padding_page()); }
};

/// The first `bits` bits of a key, as a number. @param bits at most 32
[[nodiscard]] inline std::uint32_t prefix_of(const IndexKey& key, unsigned bits) {
    std::uint32_t head = 0;
    for (std::size_t i = 0; i < 4; ++i) head = head << 8 | std::to_integer<std::uint32_t>(key[i]);
    return bits == 0 ? 0 : head >> (32 - bits);
}

/// @errors corrupt, id "vault.index_damaged": a row that cannot be true
[[nodiscard]] Result<SegmentPack> read_pack_row(ByteReader& reader);
[[nodiscard]] Result<SegmentEntry> read_entry_row(ByteReader& reader);

}  // namespace stillpoint::vault
