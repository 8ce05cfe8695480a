#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/quantity.hpp"

/// What looking after a vault asks for and answers: check, stats, gc, repair.
namespace stillpoint::vault {

using PointId = std::string;  // UUIDv7, 32 lower-case hex digits

/// A point of which the object is there, and damaged.
struct UnreadablePoint {
    PointId id;
    std::string text;  // what is wrong with it
};

enum class CheckDepth { structure, read_data };

struct DamageFound {
    PointId point;  // empty: not tied to a point
    std::string disk;
    Extent range;  // length 0: not tied to a range
    std::string text;
};

struct CheckResult {
    std::vector<DamageFound> damage;
    std::uint64_t points = 0;
    std::uint64_t bytes_read = 0;
    std::uint64_t packs = 0;  // of which every byte was read and compared with the name
};

struct StatsRequest {
    bool read_maps = false;       // for data_bytes
    std::vector<PointId> forget;  // for freed_bytes; reads the maps of all points, too
};

struct Stats {
    std::uint64_t points = 0;
    std::uint64_t packs = 0;
    std::uint64_t chunks = 0;
    std::uint64_t logical_bytes = 0;          // sum of all points' disk sizes
    std::uint64_t unique_bytes = 0;           // plaintext of the chunks held
    std::uint64_t chunk_bytes_stored = 0;     // the same, compressed and sealed
    std::uint64_t stored_bytes = 0;           // all objects
    std::optional<std::uint64_t> data_bytes;  // of all points' disks, zeros left out
    std::optional<std::uint64_t>
        freed_bytes;  // what only the points to forget need, padding not counted
    // Left out of all that counts points and maps; freed_bytes is a bound where one may need some.
    std::vector<UnreadablePoint> unreadable;
};

enum class GcMode {
    collect,
    plan,  // says what there is to collect and changes nothing
};

struct GcOptions {
    GcMode mode = GcMode::collect;
    // A pack of which fewer records are needed is emptied: what is needed moves to another pack.
    unsigned repack_below_percent = 50;
};

/// Packs and bytes of pack objects.
struct GcResult {
    std::uint64_t points = 0;                            // whose maps were walked
    std::uint64_t bytes_before = 0;                      // all packs, at the start
    std::uint64_t dead_packs = 0, dead_bytes = 0;        // found now: no point needs them
    std::uint64_t sparse_packs = 0, sparse_bytes = 0;    // found now: worth emptying
    std::uint64_t young_bytes = 0;                       // perhaps of a running backup: left alone
    std::uint64_t written_bytes = 0;                     // copied out of sparse packs
    std::uint64_t freed_packs = 0, freed_bytes = 0;      // deleted
    std::uint64_t waiting_packs = 0, waiting_bytes = 0;  // condemned, deleted by a later gc
    std::set<std::string> waiting_for;                   // runs that were alive
    std::uint64_t rescued_packs = 0;  // condemned earlier, and needed by a point since
    std::uint64_t lost_points = 0;    // gone without being forgotten; what they need was kept
};

enum class RepairMode {
    repair,
    plan,  // says what there is to repair and changes nothing
};

struct RepairOptions {
    RepairMode mode = RepairMode::repair;
    // Reads every pack and empties those that have damaged records: what is whole moves, what is
    // not leaves the index, so that the next backup that has it stores it again.
    bool read_data = false;
};

/// What a repair did, or would do.
struct RepairResult {
    std::uint64_t damaged_segments = 0;                   // of the index; replaced
    std::uint64_t indexed_packs = 0, indexed_chunks = 0;  // that no readable segment named
    std::vector<PointId> recovered;                       // were gone, and not forgotten
    std::vector<PointId> rewritten;                       // were damaged
    std::uint64_t copied = 0;                             // points that had no good copy
    std::uint64_t emptied_packs = 0, lost_chunks = 0;     // had damaged records; those
    std::vector<std::string> unreadable;                  // what is left for check and a human
};

using ProgressFn = std::function<void(std::uint64_t done, std::uint64_t total)>;

}  // namespace stillpoint::vault
