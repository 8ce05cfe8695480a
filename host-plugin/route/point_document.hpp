#pragma once
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "serialization/configuration.hpp"
#include "serialization/evidence.hpp"
#include "serialization/fields.hpp"
#include "serialization/reports.hpp"
#include "vault/vault.hpp"

/// What a recovery point remembers beside its disks' roots: CBOR inside the vault's point object.
/// Integers only; reports with milliseconds are made from it.
namespace stillpoint::route {

/// What the audit of an increment's change tracking found; counts of chunks but for `bytes`.
struct AuditDocument {
    std::uint64_t clean = 0;    // that tracking called clean
    std::uint64_t chunks = 0;   // of these read and compared
    std::uint64_t data = 0;     // of these with data at the parent
    std::uint64_t changed = 0;  // that had changed all the same
    std::uint64_t bytes = 0;    // read for it
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("clean", s.clean);
        v("chunks", s.chunks);
        v("data", s.data);
        v("changed", s.changed);
        v("bytes", s.bytes);
    }
};

struct DiskDocument {
    std::string name;
    std::string identity;  // name, serial, path and format at backup time; binds the bitmap
    std::string path;
    std::string format;
    std::string serial;
    bool serial_known = true;  // false: the disk was backed up off, and no earlier point knew it
    std::string parent;        // the point this disk was compared with or built on; empty: none
    std::string new_bitmap;    // records changes since this point; empty: none could be had
    serialization::DiskMode mode = serialization::DiskMode::full;
    std::string reason;
    std::uint64_t size = 0;
    std::uint64_t read = 0;
    std::uint64_t shipped = 0;
    std::uint64_t stored = 0;
    std::int64_t read_whole_ns = 0;      // wall clock when the disk was last read in full
    std::uint64_t increments = 0;        // since then, this point included
    std::optional<AuditDocument> audit;  // of an increment, and of a compare that it led to
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("name", s.name);
        v("identity", s.identity);
        v("path", s.path);
        v("format", s.format);
        v("serial", s.serial);
        v("serial_known", s.serial_known);
        v("parent", s.parent);
        v("new_bitmap", s.new_bitmap);
        v("mode", s.mode);
        v("reason", s.reason);
        v("size", s.size);
        v("read", s.read);
        v("shipped", s.shipped);
        v("stored", s.stored);
        v("read_whole_ns", s.read_whole_ns);
        v("increments", s.increments);
        v("audit", s.audit);
    }
};

/// A file of the VM's configuration beside its definition, or one that could not be taken.
struct ConfigurationDocument {
    serialization::ConfigurationKind kind = serialization::ConfigurationKind::nvram;
    std::string name = {};  // that restore gives it: nvram.fd, tpm/tpm2-00.permall
    std::string path = {};  // on the host at backup time; empty: not known
    std::string root = {};  // of its content among the point's roots; empty: not taken
    std::uint64_t bytes = 0;
    std::string sha256 = {};  // of the content, hex
    std::string reason = {};  // why it was not taken
    std::string note = {};
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("kind", s.kind);
        v("name", s.name);
        v("path", s.path);
        v("root", s.root);
        v("bytes", s.bytes);
        v("sha256", s.sha256);
        v("reason", s.reason);
        v("note", s.note);
    }
};

struct PointDocument {
    std::uint32_t version = 1;
    std::string made_by;       // product version
    std::string driver;        // "libvirt", "qmp" or "image"
    bool uuid_known = true;    // false: the images were backed up without their VM
    std::string definition;    // domain XML, or QEMU's own description
    std::int64_t time_ns = 0;  // wall clock at the snapshot's instant
    std::string parent;
    serialization::Level level = serialization::Level::crash;
    serialization::Level asked = serialization::Level::crash;
    bool partial = false;
    std::vector<std::string> uncovered;
    std::optional<std::int64_t> frozen_ns;
    std::int64_t snapshot_ns = 0;
    std::optional<std::int64_t> paused_ns;
    std::int64_t transfer_ns = 0;
    std::uint64_t stored_before_point = 0;  // chunks, maps, index; the point adds its own object
    std::vector<DiskDocument> disks;
    std::vector<ConfigurationDocument> configuration;
    std::vector<serialization::Evidence> evidence;
    std::vector<serialization::Warning> warnings;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("version", s.version);
        v("made_by", s.made_by);
        v("driver", s.driver);
        v("uuid_known", s.uuid_known);
        v("definition", s.definition);
        v("time_ns", s.time_ns);
        v("parent", s.parent);
        v("level", s.level);
        v("asked", s.asked);
        v("partial", s.partial);
        v("uncovered", s.uncovered);
        v("frozen_ns", s.frozen_ns);
        v("snapshot_ns", s.snapshot_ns);
        v("paused_ns", s.paused_ns);
        v("transfer_ns", s.transfer_ns);
        v("stored_before_point", s.stored_before_point);
        v("disks", s.disks);
        // A VM that has none is written as before there was this member.
        if (!std::is_const_v<S> || !s.configuration.empty()) v("configuration", s.configuration);
        v("evidence", s.evidence);
        v("warnings", s.warnings);
    }
};

/// The file that restore writes the definition to: "domain.xml" or "vm.json".
[[nodiscard]] std::string definition_name(const PointDocument& document);

[[nodiscard]] Bytes encode_point_document(const PointDocument& document);
/// @errors corrupt: malformed or of a newer document version
[[nodiscard]] Result<PointDocument> decode_point_document(ByteView cbor);

/// @param published_bytes what publishing added to the store: the point's object and its copy
[[nodiscard]] serialization::PointReport report_of(const vault::Point& point,
                                                   const PointDocument& document,
                                                   std::uint64_t published_bytes);

}  // namespace stillpoint::route
