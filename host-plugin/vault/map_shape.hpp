#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>

#include "base/limits.hpp"
#include "base/quantity.hpp"
#include "base/result.hpp"

namespace stillpoint::vault {

inline constexpr std::uint32_t map_fan_out_min = 2;
inline constexpr std::uint32_t map_fan_out_max = 1024;       // bounds a node to 33 KiB
inline constexpr std::uint64_t map_blocks_max = 1ull << 50;  // keeps every span in 64 bits
static_assert(limits::disk_bytes_max / limits::chunk_bytes_min <= map_blocks_max);

/// The geometry of one disk's block map: what follows from size, chunk size and fan-out.
/// Level 0 nodes (leaves) have blocks as children; the top node has level depth()-1.
class MapShape {
public:
    /// @param chunk_bytes, fan_out powers of two
    /// @errors invalid, id "map.shape": not a geometry that we could have written
    static Result<MapShape> make(ByteCount size, std::uint32_t chunk_bytes, std::uint32_t fan_out) {
        const bool sane = std::has_single_bit(chunk_bytes) &&
                          chunk_bytes <= limits::chunk_bytes_max && std::has_single_bit(fan_out) &&
                          fan_out >= map_fan_out_min && fan_out <= map_fan_out_max &&
                          size.raw() <= limits::disk_bytes_max &&
                          size.raw() / chunk_bytes < map_blocks_max;
        if (!sane) {
            return fail(Errc::invalid, "map.shape",
                        "no block map for " + std::to_string(size.raw()) + " bytes in chunks of " +
                            std::to_string(chunk_bytes) + " with fan-out " +
                            std::to_string(fan_out));
        }
        return MapShape{size, chunk_bytes, fan_out};
    }

    [[nodiscard]] ByteCount size() const { return size_; }
    [[nodiscard]] std::uint32_t chunk_bytes() const { return chunk_bytes_; }
    [[nodiscard]] std::uint32_t fan_out() const { return fan_out_; }
    [[nodiscard]] std::uint64_t blocks() const {
        return size_.raw() / chunk_bytes_ + (size_.raw() % chunk_bytes_ != 0 ? 1 : 0);
    }
    /// Levels of nodes, at least 1.
    [[nodiscard]] unsigned depth() const {
        unsigned levels = 1;
        while (span(levels) < blocks()) ++levels;
        return levels;
    }
    /// Blocks under one child of a node at `level`; level depth() gives the capacity.
    /// @param level 0..depth(): map_blocks_max keeps the shift below 64
    [[nodiscard]] std::uint64_t span(unsigned level) const {
        return 1ull << ((level * fan_bits()) & 63u);
    }
    /// The node at `level` that has the block under it.
    [[nodiscard]] std::uint64_t node_of(unsigned level, std::uint64_t block) const {
        return block >> ((level + 1) * fan_bits());
    }
    [[nodiscard]] std::uint32_t slot_of(unsigned level, std::uint64_t block) const {
        return static_cast<std::uint32_t>(block >> (level * fan_bits())) & (fan_out_ - 1);
    }
    /// First block under a node.
    [[nodiscard]] std::uint64_t first_block(unsigned level, std::uint64_t index) const {
        return index << ((level + 1) * fan_bits());
    }
    /// How many children of a node lie on the disk: slots from there on are never used.
    [[nodiscard]] std::uint32_t children(unsigned level, std::uint64_t index) const {
        const std::uint64_t first = first_block(level, index);
        if (first >= blocks()) return 0;
        const std::uint64_t whole = (blocks() - first - 1) / span(level) + 1;
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(whole, fan_out_));
    }
    /// The true length of a block: the last one of a disk may be shorter.
    [[nodiscard]] std::uint32_t length_of(BlockIndex block) const {
        const std::uint64_t at = block.raw() * chunk_bytes_;
        return static_cast<std::uint32_t>(
            std::min<std::uint64_t>(chunk_bytes_, size_.raw() - std::min(at, size_.raw())));
    }
    friend bool operator==(const MapShape&, const MapShape&) = default;

private:
    MapShape(ByteCount size, std::uint32_t chunk_bytes, std::uint32_t fan_out)
        : size_(size), chunk_bytes_(chunk_bytes), fan_out_(fan_out) {}
    [[nodiscard]] unsigned fan_bits() const {
        return static_cast<unsigned>(std::countr_zero(fan_out_));
    }
    ByteCount size_;
    std::uint32_t chunk_bytes_;
    std::uint32_t fan_out_;
};

}  // namespace stillpoint::vault
