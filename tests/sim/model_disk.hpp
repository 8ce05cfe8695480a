#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "extents/extent_set.hpp"

/// Disk images as QEMU keeps them, small: content by sectors, dirty bitmaps with the behaviour that
/// was measured on QEMU 7.2 (granularity, persistence, what a kill, a resize or a copy does).
namespace stillpoint::sim {

/// The smallest thing a guest writes. A cell holds one number; 0 reads as zeros.
inline constexpr std::uint64_t cell_bytes = 512;
inline constexpr std::uint64_t chunk_cells = (16u << 10) / cell_bytes;  // the vault's chunk
inline constexpr std::uint64_t cluster_cells = chunk_cells;             // the image's cluster

using Cells = std::vector<std::uint64_t>;

/// @return the bytes of cells [first, first+count)
[[nodiscard]] Bytes expand(const Cells& cells, std::uint64_t first, std::uint64_t count);

struct Stretch {
    std::uint64_t first = 0;  // cells
    std::uint64_t count = 0;
};

struct Bitmap {
    std::string name;
    bool persistent = true;
    bool stored = false;  // in the file since QEMU opened it: survives a kill, as inconsistent
    bool inconsistent = false;
    bool recording = true;
    std::uint64_t grain_cells = chunk_cells;
    std::vector<bool> dirty;  // one bit per grain

    void mark(Stretch cells);
    void fit(std::uint64_t cells);
};

enum class GuestOp {
    write,
    rewrite,       // the very bytes that are there: dirty and not changed
    write_zeros,   // a plain write of zeros: data
    zero_command,  // WRITE ZEROES
    discard,
};

/// One image file. Copying it copies its bitmaps, as `cp` does.
struct Image {
    std::string path;
    std::string format = "qcow2";  // or raw: keeps no bitmaps
    bool discards = true;          // discard=unmap; otherwise discards are ignored
    std::uint64_t grain_cells = chunk_cells;
    Cells cells;
    std::vector<bool> zero_known;  // by cell: allocation says zero
    std::vector<Bitmap> bitmaps;
    std::shared_ptr<Image> base;  // an overlay: holds the whole content, base as it was
    std::vector<bool> written;    // an overlay: cells written since it was made
    std::map<std::string, std::uint64_t> cut_to;  // by vault: least size since its last point

    void apply(GuestOp op, Stretch where, std::uint64_t tag);
    void resize(std::uint64_t count);
    [[nodiscard]] Bitmap* bitmap(const std::string& name);
    void remove_bitmap(const std::string& name);
    /// QEMU ended well, or was killed, while it had the image open.
    void close_cleanly();
    void close_killed();
    [[nodiscard]] std::uint64_t bytes() const { return cells.size() * cell_bytes; }

private:
    void set(Stretch where, std::uint64_t tag, bool known_zero);
    void mark(Stretch where);
    void apply_zeros(Stretch where);
    void apply_discard(Stretch where);
};

/// @return an overlay on top, as blockdev-snapshot makes one: no bitmaps, another path
[[nodiscard]] std::shared_ptr<Image> make_overlay(std::shared_ptr<Image> base,
                                                  const std::string& path);
/// Writes an overlay into its base, whose bitmaps record it. @return the base
[[nodiscard]] std::shared_ptr<Image> commit_overlay(const Image& overlay);

/// @return extents of the set bits, in bytes, cut at `cells`
[[nodiscard]] extents::ExtentSet extents_of(const std::vector<bool>& bits, std::uint64_t unit_cells,
                                            std::uint64_t cells);

}  // namespace stillpoint::sim
