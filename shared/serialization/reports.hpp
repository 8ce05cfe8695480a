#pragma once
#include <optional>

#include "serialization/configuration.hpp"
#include "serialization/evidence.hpp"
#include "serialization/fields.hpp"
#include "serialization/unreadable.hpp"

/// What the plugin answers: the stable field names of DESIGN section 11. Sizes are bytes, durations
/// are in the unit of the name, times RFC 3339 UTC. Reals appear here only (JSON, never the wire).
namespace stillpoint::serialization {

enum class DiskMode { full, increment, compare };
inline constexpr EnumTable<DiskMode, 3> disk_mode_names{
    {{DiskMode::full, "full"}, {DiskMode::increment, "increment"}, {DiskMode::compare, "compare"}}};
SP_ENUM_TEXT(DiskMode, disk_mode_names)

/// Chunks that tracking calls clean, read and compared with the parent; counts but for `bytes`.
struct AuditReport {
    std::uint64_t clean = 0;    // that tracking called clean
    std::uint64_t chunks = 0;   // of these read and compared
    std::uint64_t data = 0;     // of these with data at the parent; the others are zeros there
    std::uint64_t changed = 0;  // that had changed all the same: tracking was wrong
    std::uint64_t bytes = 0;    // read for it
    // Probability to notice when this share of the clean chunks with data was changed untracked.
    double notices_1_percent = 0;
    double notices_1_permille = 0;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("clean", s.clean);
        v("chunks", s.chunks);
        v("data", s.data);
        v("changed", s.changed);
        v("bytes", s.bytes);
        v("notices_1_percent", s.notices_1_percent);
        v("notices_1_permille", s.notices_1_permille);
    }
};

struct DiskReport {
    std::string name;
    std::uint64_t size = 0;
    DiskMode mode = DiskMode::full;
    std::string reason;         // why not an increment; empty for an increment
    std::string root;           // hex
    std::uint64_t read = 0;     // bytes read from the hypervisor, the audit's own not counted
    std::uint64_t shipped = 0;  // bytes that differ from the parent's map, zeros excluded
    std::uint64_t stored = 0;   // sealed chunk bytes added
    std::optional<AuditReport> audit;  // null: none was made
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("name", s.name);
        v("size", s.size);
        v("mode", s.mode);
        v("reason", s.reason);
        v("root", s.root);
        v("read", s.read);
        v("shipped", s.shipped);
        v("stored", s.stored);
        v("audit", s.audit);
    }
};

struct EvidenceReport {
    EvidenceKind kind = EvidenceKind::host;
    std::string name;
    std::string type;
    bool quiesced = false;
    double ms = 0;
    std::string note;
    std::int64_t executions = 0;  // hook: how often it was executed, tries included
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("kind", s.kind);
        v("name", s.name);
        v("type", s.type);
        v("quiesced", s.quiesced);
        v("ms", s.ms);
        v("note", s.note);
        v("executions", s.executions);
    }
};

struct Warning {
    std::string code;
    std::string text;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("code", s.code);
        v("text", s.text);
    }
};

struct PointReport {
    std::string point;  // 32 hex digits
    std::string vm;
    std::string uuid;
    std::string time;    // the snapshot's instant
    std::string parent;  // the point whose bitmap this one used; empty: none
    Level level = Level::crash;
    Level asked = Level::crash;
    bool partial = false;                // some volumes or writers were not covered …
    std::vector<std::string> uncovered;  // … these; it never lowers the level
    std::optional<double> frozen_ms;     // null when nothing was frozen
    double snapshot_ms = 0;
    std::optional<double> paused_ms;  // the VM was stopped for the snapshot
    double transfer_s = 0;
    std::uint64_t stored_total = 0;  // chunks, map, index, point and its copy
    bool recovered = false;          // `vault repair` brought it back; `points confirm` ends that
    std::vector<DiskReport> disks;
    std::vector<ConfigurationReport> configuration;
    std::vector<EvidenceReport> evidence;
    std::vector<Warning> warnings;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("point", s.point);
        v("vm", s.vm);
        v("uuid", s.uuid);
        v("time", s.time);
        v("parent", s.parent);
        v("level", s.level);
        v("asked", s.asked);
        v("partial", s.partial);
        v("uncovered", s.uncovered);
        v("frozen_ms", s.frozen_ms);
        v("snapshot_ms", s.snapshot_ms);
        v("paused_ms", s.paused_ms);
        v("transfer_s", s.transfer_s);
        v("stored_total", s.stored_total);
        v("recovered", s.recovered);
        v("disks", s.disks);
        v("configuration", s.configuration);
        v("evidence", s.evidence);
        v("warnings", s.warnings);
    }
};

struct Damage {
    std::string point;  // empty: not tied to a point
    std::string disk;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::string text;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("point", s.point);
        v("disk", s.disk);
        v("offset", s.offset);
        v("length", s.length);
        v("text", s.text);
    }
};

/// Answer of vault.check, verify and restore.
struct CheckReport {
    bool ok = false;
    std::vector<Damage> damage;
    std::uint64_t points = 0;
    std::uint64_t bytes_read = 0;
    std::vector<std::string> files;  // restore: what was written
    double seconds = 0;
    std::uint64_t written_since = 0;  // verify --against live: bytes left out, as they were written
    std::string note;                 // what the answer does not cover; empty: nothing
    std::uint64_t packs = 0;          // vault.check: read whole and compared with their names
    bool without_key = false;         // vault.check: no key was used
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("ok", s.ok);
        v("damage", s.damage);
        v("points", s.points);
        v("bytes_read", s.bytes_read);
        v("files", s.files);
        v("seconds", s.seconds);
        v("written_since", s.written_since);
        v("note", s.note);
        v("packs", s.packs);
        v("without_key", s.without_key);
    }
};

/// Answer of vault.gc; bytes of pack objects.
struct GcReport {
    bool dry_run = false;
    std::uint64_t points = 0;
    std::uint64_t bytes_before = 0;
    std::uint64_t unreachable_bytes = 0;  // found now: no point needs the pack
    std::uint64_t sparse_bytes = 0;       // found now: of packs of which little is needed
    std::uint64_t freed_bytes = 0;
    std::uint64_t freed_packs = 0;
    std::uint64_t written_bytes = 0;  // copied out of sparse packs
    std::uint64_t waiting_bytes = 0;  // deleted by a gc after the runs below have ended
    std::uint64_t skipped_bytes = 0;  // perhaps of a running backup
    std::uint64_t rescued_packs = 0;
    std::uint64_t lost_points = 0;         // gone and not forgotten; what they need was kept
    std::vector<std::string> waiting_for;  // run ids
    double seconds = 0;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("dry_run", s.dry_run);
        v("points", s.points);
        v("bytes_before", s.bytes_before);
        v("unreachable_bytes", s.unreachable_bytes);
        v("sparse_bytes", s.sparse_bytes);
        v("freed_bytes", s.freed_bytes);
        v("freed_packs", s.freed_packs);
        v("written_bytes", s.written_bytes);
        v("waiting_bytes", s.waiting_bytes);
        v("skipped_bytes", s.skipped_bytes);
        v("rescued_packs", s.rescued_packs);
        v("lost_points", s.lost_points);
        v("waiting_for", s.waiting_for);
        v("seconds", s.seconds);
    }
};

/// Answer of vault.repair.
struct RepairReport {
    bool ok = false;  // nothing is left that cannot be read
    bool dry_run = false;
    std::uint64_t damaged_segments = 0;  // of the index
    std::uint64_t indexed_packs = 0;     // that no readable segment named
    std::uint64_t indexed_chunks = 0;
    std::vector<std::string> recovered;  // points that were gone and not forgotten
    std::vector<std::string> rewritten;  // points that were damaged
    std::uint64_t copied = 0;            // points that had no good copy
    std::uint64_t emptied_packs = 0;     // had damaged records
    std::uint64_t lost_chunks = 0;       // those
    std::vector<std::string> unreadable;
    double seconds = 0;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("ok", s.ok);
        v("dry_run", s.dry_run);
        v("damaged_segments", s.damaged_segments);
        v("indexed_packs", s.indexed_packs);
        v("indexed_chunks", s.indexed_chunks);
        v("recovered", s.recovered);
        v("rewritten", s.rewritten);
        v("copied", s.copied);
        v("emptied_packs", s.emptied_packs);
        v("lost_chunks", s.lost_chunks);
        v("unreadable", s.unreadable);
        v("seconds", s.seconds);
    }
};

/// Answer of vault.stats.
struct StatsReport {
    std::uint64_t points = 0, packs = 0, chunks = 0;
    std::uint64_t logical_bytes = 0;          // sum of all points' disk sizes
    std::uint64_t unique_bytes = 0;           // plaintext of the chunks held
    std::uint64_t stored_bytes = 0;           // all objects
    double compression_ratio = 0;             // unique_bytes through the bytes of the sealed chunks
    std::optional<std::uint64_t> data_bytes;  // of all points' disks, zeros left out
    std::optional<double> dedupe_ratio;       // data_bytes through unique_bytes
    std::optional<std::uint64_t> freed_bytes;  // by forgetting the points asked for
    // In no count but stored_bytes; where there are some, freed_bytes is what it is at most.
    std::vector<UnreadablePoint> unreadable;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("points", s.points);
        v("packs", s.packs);
        v("chunks", s.chunks);
        v("logical_bytes", s.logical_bytes);
        v("unique_bytes", s.unique_bytes);
        v("stored_bytes", s.stored_bytes);
        v("compression_ratio", s.compression_ratio);
        v("data_bytes", s.data_bytes);
        v("dedupe_ratio", s.dedupe_ratio);
        v("freed_bytes", s.freed_bytes);
        v("unreadable", s.unreadable);
    }
};

struct DiffExtent {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("offset", s.offset);
        v("length", s.length);
    }
};

/// One disk at two points: what differs, in whole chunks. Past the end of the smaller size a disk
/// counts as zeros.
struct DiskDiff {
    std::string name;
    std::uint64_t size_before = 0, size_now = 0;
    std::uint64_t changed = 0;        // bytes, zeroed ones among them
    std::uint64_t zeroed = 0;         // bytes that held data before and read as zeros now
    std::vector<DiffExtent> extents;  // ascending; only where asked for
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("name", s.name);
        v("size_before", s.size_before);
        v("size_now", s.size_now);
        v("changed", s.changed);
        v("zeroed", s.zeroed);
        v("extents", s.extents);
    }
};

/// Answer of points.diff.
struct DiffReport {
    std::string before, now;  // point ids
    std::vector<DiskDiff> disks;
    std::vector<std::string> only_before, only_now;  // disks that one of the points has not
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("before", s.before);
        v("now", s.now);
        v("disks", s.disks);
        v("only_before", s.only_before);
        v("only_now", s.only_now);
    }
};

/// One key of a vault.
struct KeyReport {
    std::string id;          // 8 hex digits
    std::string encryption;  // passphrase or keyfile; empty: damaged
    bool opened = false;     // by the key that was given
    bool damaged = false;    // opens nothing any more
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("id", s.id);
        v("encryption", s.encryption);
        v("opened", s.opened);
        v("damaged", s.damaged);
    }
};

/// Answer of vault.key: the keys as they are now.
struct KeysReport {
    std::string added;    // id; empty: none was
    std::string removed;  // id; empty: none was
    std::vector<KeyReport> keys;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("added", s.added);
        v("removed", s.removed);
        v("keys", s.keys);
    }
};

struct ErrorReport {
    std::string code;
    std::string text;
    std::string remedy;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("code", s.code);
        v("text", s.text);
        v("remedy", s.remedy);
    }
};

/// Sent while a job runs; `phase` is one of snapshot, transfer, publish, check, restore, gc.
struct ProgressEvent {
    std::string phase;
    std::string disk;
    std::uint64_t done = 0;   // bytes
    std::uint64_t total = 0;  // bytes; 0 = not known
    std::string text;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("phase", s.phase);
        v("disk", s.disk);
        v("done", s.done);
        v("total", s.total);
        v("text", s.text);
    }
};

}  // namespace stillpoint::serialization
