#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "base/quantity.hpp"
#include "env/files.hpp"

namespace stillpoint::vault {

/// Pieces of immutable objects in a local folder, so that they need not be fetched again. It may be
/// deleted at any time, also while it is used; what cannot be read or written is not there, never
/// an error. Several processes may share it. What it returns may be damaged: whoever asks proves
/// it.
/// @threads any, concurrently
class DiskCache {
public:
    static constexpr std::size_t piece_bytes_max = 1u << 20;
    static constexpr std::uint64_t pieces_max =
        50'000;  // bounds the time of looking for the oldest

    struct Limits {
        env::Path folder;             // created when missing, 0700
        std::uint64_t bytes_max = 0;  // of all pieces in the folder, of other spaces too
    };
    /// @param space tells one store's objects from another's
    DiskCache(Limits limits, const std::string& space);

    /// @param piece which part of the object: [0-9a-z+]
    [[nodiscard]] std::optional<Bytes> find(const std::string& object, const std::string& piece);
    /// @return nullopt also where the piece ends before
    [[nodiscard]] std::optional<Bytes> find_part(const std::string& object,
                                                 const std::string& piece, const Extent& part);
    [[nodiscard]] std::optional<ByteCount> size(const std::string& object,
                                                const std::string& piece);
    void keep(const std::string& object, const std::string& piece, ByteView bytes);
    /// Forgets all pieces of an object. @return whether there were any
    bool drop(const std::string& object);

private:
    [[nodiscard]] env::Path shelf(const std::string& object) const;
    [[nodiscard]] env::Path path_of(const std::string& object, const std::string& piece) const;
    [[nodiscard]] static std::string label(const std::string& object);
    void make_room(std::uint64_t bytes);

    Limits limits_;
    env::Path space_;
    std::mutex mutex_;                             // guards what follows
    std::optional<std::uint64_t> bytes_, pieces_;  // as far as known; nullopt: not counted yet
};

}  // namespace stillpoint::vault
