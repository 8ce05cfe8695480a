#pragma once
#include <cstddef>

namespace stillpoint::vault {

/// What the index of one open vault may take in memory, whatever the size of the vault. With the
/// packs that a backup has in hand it stays below 256 MiB (ADR-0018 has the sum).
struct IndexLimits {
    /// Small segments are held whole: 1.5 million chunks, 96 GiB of unique data.
    std::size_t held_bytes_max = 24u << 20;
    /// Pages of the others that were read lately: all fan-out tables up to about 25 TiB.
    std::size_t page_bytes_max = 16u << 20;
    /// Filters of the others, one byte a chunk: 3 TiB of unique data.
    std::size_t filter_bytes_max = 48u << 20;
};

}  // namespace stillpoint::vault
