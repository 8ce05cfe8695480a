#pragma once
#include <optional>
#include <string>
#include <vector>

#include "serialization/evidence.hpp"
#include "vss/vss_codes.hpp"

/// What a writer's status means: one table over its state, its failure code and the phase after
/// which it was read (docs/windows.md, "Writers"). Pure; frozen in tests/golden/vss-verdicts.txt.
namespace stillpoint::windows_guest {

/// The calls after which every writer's status is read.
enum class StatusPhase {
    prepared,   // PrepareForBackup: the writers know that a snapshot is to come
    snapshot,   // DoSnapshotSet: they froze and thawed
    completed,  // BackupComplete: the data is on the host already
};
inline constexpr serialization::EnumTable<StatusPhase, 3> status_phase_names{
    {{StatusPhase::prepared, "prepared"},
     {StatusPhase::snapshot, "snapshot"},
     {StatusPhase::completed, "completed"}}};
SP_ENUM_TEXT(StatusPhase, status_phase_names)

enum class WriterVerdict {
    stable,        // its data stands still, or stood still
    alert,         // its data is good, but something it does afterwards failed
    retry_later,   // failed; a new backup in ten minutes may succeed
    more_volumes,  // failed: it keeps data on a volume that is not in the snapshot
    failed,        // failed, and will again
};
inline constexpr serialization::EnumTable<WriterVerdict, 5> writer_verdict_names{
    {{WriterVerdict::stable, "stable"},
     {WriterVerdict::alert, "alert"},
     {WriterVerdict::retry_later, "retry-later"},
     {WriterVerdict::more_volumes, "more-volumes"},
     {WriterVerdict::failed, "failed"}}};
SP_ENUM_TEXT(WriterVerdict, writer_verdict_names)

/// Total. No evidence is no consistency: a state that says nothing is a failure.
[[nodiscard]] WriterVerdict judge_writer(StatusPhase phase, WriterState state, Hresult failure);

[[nodiscard]] constexpr bool is_quiesced(WriterVerdict verdict) {
    return verdict == WriterVerdict::stable || verdict == WriterVerdict::alert;
}

/// One writer's status as VSS tells it.
struct WriterStatus {
    std::string name;
    std::string class_id;     // "{…}"; the same on every machine
    std::string instance_id;  // "{…}"; one running writer
    WriterState state = WriterState::unknown;
    Hresult failure = vss::writer_status_not_available;
};

/// The evidence for the host: the writer's name, whether it is quiesced, and a note with state,
/// code, what to do and which Windows service it lives in.
[[nodiscard]] serialization::Evidence evidence_of(StatusPhase phase, const WriterStatus& status);

}  // namespace stillpoint::windows_guest
