#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "serialization/enum_text.hpp"

namespace stillpoint::serialization {

/// Consistency of a recovery point, DESIGN section 4. The order of the enumerators is the order of
/// the levels: crash < filesystem < offline < application.
enum class Level { crash, filesystem, offline, application };
inline constexpr EnumTable<Level, 4> level_names{{{Level::crash, "crash"},
                                                  {Level::filesystem, "filesystem"},
                                                  {Level::offline, "offline"},
                                                  {Level::application, "application"}}};
SP_ENUM_TEXT(Level, level_names)

/// VSS backup type; Linux ignores it.
enum class BackupType { full, copy };
inline constexpr EnumTable<BackupType, 2> backup_type_names{
    {{BackupType::full, "full"}, {BackupType::copy, "copy"}}};
SP_ENUM_TEXT(BackupType, backup_type_names)

enum class EvidenceKind { filesystem, hook, writer, disk, host };
inline constexpr EnumTable<EvidenceKind, 5> evidence_kind_names{
    {{EvidenceKind::filesystem, "filesystem"},
     {EvidenceKind::hook, "hook"},
     {EvidenceKind::writer, "writer"},
     {EvidenceKind::disk, "disk"},
     {EvidenceKind::host, "host"}}};
SP_ENUM_TEXT(EvidenceKind, evidence_kind_names)

/// One proven fact about the still point.
struct Evidence {
    EvidenceKind kind = EvidenceKind::host;
    std::string name;              // mount point, writer, hook or disk
    std::string type;              // ext4, xfs, …; empty where it means nothing
    bool quiesced = false;         // held still from before the snapshot until after it
    bool excluded = false;         // left out on purpose by configuration
    std::int64_t duration_ns = 0;  // how long it was frozen, or the hook ran
    std::string note;              // why not, or "unwritten"; for people and reports
    bool freezable = true;  // false: a filesystem whose kind cannot be frozen (vfat): quiesced only
                            // if nothing was written between its last sync and the thaw
    std::int64_t executions = 0;  // hook: how often it was executed, tries included
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("kind", s.kind);
        v("name", s.name);
        v("type", s.type);
        v("quiesced", s.quiesced);
        v("excluded", s.excluded);
        v("duration_ns", s.duration_ns);
        v("note", s.note);
        v("freezable", s.freezable);
        v("executions", s.executions);
    }
};

}  // namespace stillpoint::serialization
