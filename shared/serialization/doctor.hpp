#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "serialization/fields.hpp"

/// What the doctor of a guest is asked and says; part of the messages, docs/protocol.md.
namespace stillpoint::serialization {

/// One thing that the doctor saw.
struct Finding {
    std::string id;        // dotted and stable, e.g. "doctor.listener"
    std::string severity;  // "ok", "note", "warning" or "error"
    std::string object;    // mount point, hook, program; may be empty
    std::string text;
    std::string remedy;  // what to do; empty where nothing needs doing
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("id", s.id);
        v("severity", s.severity);
        v("object", s.object);
        v("text", s.text);
        v("remedy", s.remedy);
    }
};

/// How one filesystem stood a freeze by itself.
struct MountCheck {
    std::string name;
    std::string type;
    std::string device;      // major:minor
    std::int64_t level = 0;  // how many loop devices lie below
    bool froze = false;      // frozen and thawed by this examination
    std::int64_t sync_ns = 0;
    std::int64_t freeze_ns = 0;
    std::int64_t thaw_ns = 0;
    std::string note;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("name", s.name);
        v("type", s.type);
        v("device", s.device);
        v("level", s.level);
        v("froze", s.froze);
        v("sync_ns", s.sync_ns);
        v("freeze_ns", s.freeze_ns);
        v("thaw_ns", s.thaw_ns);
        v("note", s.note);
    }
};

/// host -> guest: examine yourself.
struct Doctor {
    static constexpr std::string_view kind = "Doctor";
    bool dry_run = true;  // freeze and thaw each filesystem for an instant
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("dry_run", s.dry_run);
    }
};

/// guest -> host: its answer.
struct Diagnosis {
    static constexpr std::string_view kind = "Diagnosis";
    std::int64_t realtime_ns = 0;  // the guest's clock, since 1970 UTC
    std::vector<MountCheck> mounts;
    std::vector<Finding> findings;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("realtime_ns", s.realtime_ns);
        v("mounts", s.mounts);
        v("findings", s.findings);
    }
};

/// Whether something needs to be repaired: a warning or an error.
[[nodiscard]] bool needs_repair(const Diagnosis& diagnosis);

/// For people; a guest's own doctor prints it.
[[nodiscard]] std::string diagnosis_text(const Diagnosis& diagnosis);

}  // namespace stillpoint::serialization
