#include "vss/writer_verdict.hpp"

namespace stillpoint::windows_guest {
namespace {

/// The states of a writer that did all that was asked of it until then.
bool state_is_good(StatusPhase phase, WriterState state) {
    switch (phase) {
        case StatusPhase::prepared:
            // A writer may still wait for the end of an earlier backup of somebody else.
            return state == WriterState::stable || state == WriterState::waiting_for_freeze ||
                   state == WriterState::waiting_for_backup_complete;
        case StatusPhase::snapshot:
            return state == WriterState::stable ||
                   state == WriterState::waiting_for_backup_complete;
        case StatusPhase::completed:
            return state == WriterState::stable;
    }
    return false;
}

WriterVerdict verdict_of(Hresult failure) {
    switch (failure) {
        case vss::out_of_resources:
        case vss::writer_timeout:
        case vss::writer_retryable:
        case vss::writer_not_responding:
            return WriterVerdict::retry_later;
        case vss::inconsistent_snapshot:
            return WriterVerdict::more_volumes;
        default:
            return WriterVerdict::failed;
    }
}

/// What VSS does after the data was taken changes nothing about the data.
bool is_afterwards(StatusPhase phase, WriterState state) {
    return phase == StatusPhase::completed || state == WriterState::failed_at_backup_complete ||
           state == WriterState::failed_at_backup_shutdown;
}

std::string advice(WriterVerdict verdict, const WriterStatus& status) {
    std::string text;
    if (verdict == WriterVerdict::retry_later) text = "; try again in 10 minutes";
    if (verdict == WriterVerdict::more_volumes) {
        text = "; it keeps data on a volume that is not in the snapshot";
    }
    const std::string_view service = service_of_writer(status.name);
    if (!service.empty()) text += "; restart the Windows service " + std::string(service);
    return text;
}

}  // namespace

WriterVerdict judge_writer(StatusPhase phase, WriterState state, Hresult failure) {
    if (failure == vss::ok && state_is_good(phase, state)) return WriterVerdict::stable;
    if (is_afterwards(phase, state)) return WriterVerdict::alert;
    return verdict_of(failure);
}

serialization::Evidence evidence_of(StatusPhase phase, const WriterStatus& status) {
    const WriterVerdict verdict = judge_writer(phase, status.state, status.failure);
    serialization::Evidence evidence;
    evidence.kind = serialization::EvidenceKind::writer;
    evidence.name = status.name.empty() ? status.class_id : status.name;
    evidence.type = name_of(phase);
    evidence.quiesced = is_quiesced(verdict);
    if (verdict == WriterVerdict::stable) return evidence;
    evidence.note = name_of(status.state) + ", " + code_text(status.failure);
    evidence.note += advice(verdict, status);
    return evidence;
}

}  // namespace stillpoint::windows_guest
