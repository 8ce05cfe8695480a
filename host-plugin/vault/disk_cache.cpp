#include "vault/disk_cache.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/hex.hpp"
#include "chunk/hash.hpp"
#include "env/random.hpp"

namespace stillpoint::vault {
namespace {

namespace fs = std::filesystem;

constexpr mode_t folder_mode = 0700;

std::string hash_of(const std::string& text) {
    return to_hex(chunk::sha256(as_bytes(text))).substr(0, 32);
}

struct Piece {
    env::Path path;
    fs::file_time_type used;
    std::uint64_t bytes = 0;
};

/// All files below a folder; what vanishes meanwhile is left out.
std::vector<Piece> pieces_below(const env::Path& folder) {
    std::vector<Piece> pieces;
    std::error_code error;
    fs::recursive_directory_iterator at{folder, error};
    for (; !error && at != fs::recursive_directory_iterator{}; at.increment(error)) {
        std::error_code gone;
        if (!at->is_regular_file(gone)) continue;
        const auto used = at->last_write_time(gone);
        const auto bytes = at->file_size(gone);
        if (!gone) pieces.push_back({at->path(), used, bytes});
    }
    return pieces;
}

}  // namespace

DiskCache::DiskCache(Limits limits, const std::string& space)
    : limits_(std::move(limits)), space_(limits_.folder / hash_of(space)) {
    // What fails shows when a piece is to be kept.
    (void)env::make_folders(space_, folder_mode);
}

std::string DiskCache::label(const std::string& object) {
    return hash_of(object) + ".";
}

env::Path DiskCache::shelf(const std::string& object) const {
    return space_ / label(object).substr(0, 2);
}

env::Path DiskCache::path_of(const std::string& object, const std::string& piece) const {
    return shelf(object) / (label(object) + piece);
}

std::optional<Bytes> DiskCache::find(const std::string& object, const std::string& piece) {
    const auto bytes = size(object, piece);
    if (!bytes || bytes->raw() > piece_bytes_max) return std::nullopt;
    return find_part(object, piece, {ByteOffset{0}, *bytes});
}

std::optional<Bytes> DiskCache::find_part(const std::string& object, const std::string& piece,
                                          const Extent& part) {
    const env::Path path = path_of(object, piece);
    const auto file = env::open_file(path, O_RDONLY);
    if (!file) return std::nullopt;
    const auto end = end_of(part);
    struct stat about {};
    if (!end || ::fstat(file->get(), &about) != 0 ||
        end->raw() > static_cast<std::uint64_t>(about.st_size)) {
        return std::nullopt;
    }
    Bytes bytes(part.length.raw());
    if (!env::read_at(file->get(), part.at, bytes, path)) return std::nullopt;
    ::futimens(file->get(), nullptr);  // the oldest go first
    return bytes;
}

std::optional<ByteCount> DiskCache::size(const std::string& object, const std::string& piece) {
    const auto bytes = env::file_size(path_of(object, piece));
    return bytes ? std::optional{*bytes} : std::nullopt;
}

void DiskCache::keep(const std::string& object, const std::string& piece, ByteView bytes) {
    if (bytes.size() > piece_bytes_max || bytes.size() > limits_.bytes_max) return;
    make_room(bytes.size());
    ::mkdir(shelf(object).c_str(), folder_mode);
    const env::Path path = path_of(object, piece);
    const env::Path half = shelf(object) / ("half." + env::random_hex(8));
    auto file = env::open_file(half, O_WRONLY | O_CREAT | O_EXCL, 0600);
    // Not synced: what a power cut leaves is proven by whoever asks for it.
    const bool written = file && env::write_at(file->get(), ByteOffset{0}, bytes, half);
    if (file && (!written || ::rename(half.c_str(), path.c_str()) != 0)) ::unlink(half.c_str());
}

bool DiskCache::drop(const std::string& object) {
    bool dropped = false;
    const auto entries = env::list_folder(shelf(object));
    if (!entries) return false;
    for (const std::string& entry : *entries) {
        if (!entry.starts_with(label(object))) continue;
        dropped = ::unlink((shelf(object) / entry).c_str()) == 0 || dropped;
    }
    return dropped;
}

void DiskCache::make_room(std::uint64_t bytes) {
    const std::scoped_lock lock{mutex_};
    const bool room = bytes_ && *bytes_ + bytes <= limits_.bytes_max && *pieces_ < pieces_max;
    if (room) {
        *bytes_ += bytes;
        *pieces_ += 1;
        return;
    }
    // Counted anew: other processes keep and remove pieces, too.
    auto pieces = pieces_below(limits_.folder);
    std::sort(pieces.begin(), pieces.end(),
              [](const Piece& a, const Piece& b) { return a.used < b.used; });
    std::uint64_t all = bytes, count = pieces.size() + 1;
    for (const Piece& piece : pieces) all += piece.bytes;
    // An eighth more than needed, so that this is not done for each piece.
    const std::uint64_t bytes_max = limits_.bytes_max;
    const bool full = all > bytes_max || count > pieces_max;
    for (const Piece& piece : pieces) {
        const bool enough = all <= bytes_max - bytes_max / 8 && count <= pieces_max / 8 * 7;
        if (!full || enough) break;
        ::unlink(piece.path.c_str());
        all -= piece.bytes;
        --count;
    }
    bytes_ = all;
    pieces_ = count;
}

}  // namespace stillpoint::vault
