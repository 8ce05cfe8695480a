#pragma once
#include <cstddef>
#include <cstdint>

/// Limits that more than one module relies on; each has a unit in its name and a reason beside it.
namespace stillpoint::limits {

inline constexpr std::size_t frame_bytes_max =
    1u << 20;  // wire: metadata only; bounds what a guest makes us hold
inline constexpr std::size_t document_bytes_max =
    16u << 20;                                 // a recovery point's document (domain XML, nvram)
inline constexpr int document_depth_max = 32;  // nesting of any document; ours need 6
inline constexpr std::size_t document_items_max = 1u << 20;  // elements of one document, all levels
inline constexpr std::size_t document_string_bytes_max = 8u << 20;  // one string (nvram as hex)
inline constexpr std::uint64_t disk_bytes_max = 1ull << 60;  // 1 EiB: keeps every sum in 64 bits
inline constexpr std::uint32_t chunk_bytes_min = 16u << 10;
inline constexpr std::uint32_t chunk_bytes_max = 1u << 20;
inline constexpr std::uint32_t chunk_bytes_default =
    64u << 10;                                      // equals QEMU's bitmap granularity (ADR-0004)
inline constexpr std::size_t name_bytes_max = 255;  // VM, disk and hook names

static_assert(frame_bytes_max <= document_bytes_max);
static_assert((chunk_bytes_default & (chunk_bytes_default - 1)) == 0);

}  // namespace stillpoint::limits
