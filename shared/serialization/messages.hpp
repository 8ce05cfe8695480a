#pragma once
#include <variant>

#include "serialization/doctor.hpp"
#include "serialization/evidence.hpp"
#include "serialization/fields.hpp"

/// The messages between host and guest, docs/protocol.md. Each struct is declared once; CBOR and
/// its JSON twin follow from `fields`. Names never change meaning; members are only added. Times
/// are the sender's CLOCK_MONOTONIC (guest: CLOCK_BOOTTIME) in nanoseconds.
namespace stillpoint::serialization {

inline constexpr std::uint32_t protocol_version_min = 1;
inline constexpr std::uint32_t protocol_version_max = 1;

// ---- host -> guest ------------------------------------------------------------------------------
struct Hello {
    static constexpr std::string_view kind = "Hello";
    std::uint32_t version_min = protocol_version_min;
    std::uint32_t version_max = protocol_version_max;
    std::string vm_uuid;                // may be empty on plain QEMU
    std::vector<std::string> features;  // what the host understands beyond version 1
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("version_min", s.version_min);
        v("version_max", s.version_max);
        v("vm_uuid", s.vm_uuid);
        v("features", s.features);
    }
};

struct Prepare {
    static constexpr std::string_view kind = "Prepare";
    std::string job_id;
    Level wanted = Level::filesystem;
    BackupType type = BackupType::full;
    std::int64_t hooks_budget_ns = 60'000'000'000;
    std::int64_t freeze_budget_ns = 5'000'000'000;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("job_id", s.job_id);
        v("wanted", s.wanted);
        v("type", s.type);
        v("hooks_budget_ns", s.hooks_budget_ns);
        v("freeze_budget_ns", s.freeze_budget_ns);
    }
};

struct Freeze {
    static constexpr std::string_view kind = "Freeze";
    std::string lease_id;                         // random, made by the host for this freeze alone
    std::int64_t hold_budget_ns = 5'000'000'000;  // from the first freeze; the guest may shorten it
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("lease_id", s.lease_id);
        v("hold_budget_ns", s.hold_budget_ns);
    }
};

struct Thaw {
    static constexpr std::string_view kind = "Thaw";
    std::string lease_id;
    bool snapshot_taken = false;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("lease_id", s.lease_id);
        v("snapshot_taken", s.snapshot_taken);
    }
};

struct Finish {
    static constexpr std::string_view kind = "Finish";
    std::string job_id;
    bool success = false;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("job_id", s.job_id);
        v("success", s.success);
    }
};

/// After Finish, perhaps hours later and in another session: the recovery point is durable, or
/// never will be. Only for a guest whose Welcome has the feature "complete"; answered by Completed.
struct Complete {
    static constexpr std::string_view kind = "Complete";
    std::string job_id;
    bool success = false;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("job_id", s.job_id);
        v("success", s.success);
    }
};

/// Ends whatever is under way: thaws, runs the post or abort hook; answered by Finished.
struct Cancel {
    static constexpr std::string_view kind = "Cancel";
    std::string reason;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("reason", s.reason);
    }
};

struct Ping {
    static constexpr std::string_view kind = "Ping";
    std::uint32_t number = 0;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("number", s.number);
    }
};

// ---- guest -> host ------------------------------------------------------------------------------
/// A filesystem the guest could freeze, as planned before the window.
struct Volume {
    std::string name;       // mount point
    std::string type;       // ext4, xfs, …
    std::string device;     // major:minor as in mountinfo field 3
    bool freezable = true;  // false: cannot or must not be frozen; note says why
    bool excluded = false;
    std::string note;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("name", s.name);
        v("type", s.type);
        v("device", s.device);
        v("freezable", s.freezable);
        v("excluded", s.excluded);
        v("note", s.note);
    }
};

struct Welcome {
    static constexpr std::string_view kind = "Welcome";
    std::uint32_t version = protocol_version_max;  // the chosen one
    std::string agent_version;
    std::string os;          // "linux" or "windows"
    std::string os_release;  // PRETTY_NAME of os-release, or the kernel's release
    std::vector<std::string> features;
    std::vector<Volume> volumes;
    bool hooks_configured = false;
    std::string journal;                 // last journal state; "clean" or what is still owed
    std::vector<std::string> changes{};  // what it changed in its system, and what takes that back
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("version", s.version);
        v("agent_version", s.agent_version);
        v("os", s.os);
        v("os_release", s.os_release);
        v("features", s.features);
        v("volumes", s.volumes);
        v("hooks_configured", s.hooks_configured);
        v("journal", s.journal);
        v("changes", s.changes);
    }
};

struct Prepared {
    static constexpr std::string_view kind = "Prepared";
    std::string job_id;
    std::vector<Evidence> evidence;  // one per hook (pre) or writer
    bool freeze_needed = true;       // false when the hooks declare it unnecessary
    std::string refusal;       // a hook that failed and may not: no recovery point is to be kept
    bool retry_later = false;  // a writer failed, and a whole new backup in 10 minutes may succeed
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("job_id", s.job_id);
        v("evidence", s.evidence);
        v("freeze_needed", s.freeze_needed);
        v("refusal", s.refusal);
        v("retry_later", s.retry_later);
    }
};

struct Frozen {
    static constexpr std::string_view kind = "Frozen";
    std::string lease_id;
    std::int64_t first_freeze_ns = 0;  // before the first FIFREEZE
    std::int64_t frozen_ns = 0;        // after the last FIFREEZE returned
    std::vector<Evidence> evidence;    // per filesystem; duration = its FIFREEZE call
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("lease_id", s.lease_id);
        v("first_freeze_ns", s.first_freeze_ns);
        v("frozen_ns", s.frozen_ns);
        v("evidence", s.evidence);
    }
};

struct Thawed {
    static constexpr std::string_view kind = "Thawed";
    std::string lease_id;
    bool held = false;                 // every FITHAW returned 0 before the deadline
    std::int64_t first_freeze_ns = 0;  // the same stamps as in Frozen …
    std::int64_t frozen_ns = 0;
    std::int64_t thaw_ns = 0;        // before the first FITHAW
    std::int64_t thawed_ns = 0;      // after the last FITHAW
    std::vector<Evidence> evidence;  // per filesystem; duration = first freeze until its thaw
    bool retry_later = false;        // as in Prepared
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("lease_id", s.lease_id);
        v("held", s.held);
        v("first_freeze_ns", s.first_freeze_ns);
        v("frozen_ns", s.frozen_ns);
        v("thaw_ns", s.thaw_ns);
        v("thawed_ns", s.thawed_ns);
        v("evidence", s.evidence);
        v("retry_later", s.retry_later);
    }
};

struct Finished {
    static constexpr std::string_view kind = "Finished";
    std::string job_id;
    std::vector<Evidence> evidence;  // one per post hook
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("job_id", s.job_id);
        v("evidence", s.evidence);
    }
};

struct Completed {
    static constexpr std::string_view kind = "Completed";
    std::string job_id;
    std::vector<Evidence> evidence;  // writers that failed at the very end
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("job_id", s.job_id);
        v("evidence", s.evidence);
    }
};

struct Pong {
    static constexpr std::string_view kind = "Pong";
    std::uint32_t number = 0;
    std::string state;  // the session's state: idle, prepared, frozen, …
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("number", s.number);
        v("state", s.state);
    }
};

struct Log {
    static constexpr std::string_view kind = "Log";
    std::string severity;  // debug, info, warning, error
    std::string text;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("severity", s.severity);
        v("text", s.text);
    }
};

struct Failure {  // "Error" on the wire
    static constexpr std::string_view kind = "Error";
    std::string code;  // dotted, e.g. "freeze.foreign"
    bool retriable = false;
    std::string text;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("code", s.code);
        v("retriable", s.retriable);
        v("text", s.text);
    }
};

/// What arrived with a kind this version does not know; answered with Failure "protocol.unknown".
struct Unknown {
    static constexpr std::string_view kind = "";
    std::string name;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("name", s.name);
    }
};

using Message = std::variant<Unknown, Hello, Prepare, Freeze, Thaw, Finish, Cancel, Ping, Welcome,
                             Prepared, Frozen, Thawed, Finished, Pong, Log, Failure, Doctor,
                             Diagnosis, Complete, Completed>;

/// CBOR of {"kind": …, "body": {…}}; at most limits::frame_bytes_max.
[[nodiscard]] Bytes encode_message(const Message& message);
/// @errors corrupt: malformed or a member of the wrong kind. An unknown kind is the value Unknown.
[[nodiscard]] Result<Message> decode_message(ByteView cbor);
/// The JSON twin, for logs and golden files.
[[nodiscard]] std::string message_to_json(const Message& message);
[[nodiscard]] std::string_view kind_of(const Message& message);

}  // namespace stillpoint::serialization
