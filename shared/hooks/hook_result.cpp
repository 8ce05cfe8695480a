#include "hooks/hook_result.hpp"

namespace stillpoint::hooks {
namespace {

constexpr std::size_t note_bytes_max = 200;

std::string last_line(std::string_view text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    text.remove_prefix(text.rfind('\n') + 1);
    return std::string(text.substr(0, note_bytes_max));
}

std::string how(const HookResult& result) {
    switch (result.end) {
        case HookEnd::exited:
            return "exit code " + std::to_string(result.status);
        case HookEnd::signalled:
            return "killed by signal " + std::to_string(result.status);
        case HookEnd::timed_out:
            return "killed at its timeout";
        case HookEnd::cancelled:
            return "killed because the backup was cancelled";
        case HookEnd::not_started:
            break;
    }
    return "not started";
}

}  // namespace

std::string HookResult::note() const {
    const std::string last = last_line(output);
    return succeeded() || last.empty() ? how(*this) : how(*this) + ": " + last;
}

std::string HookOutcome::note() const {
    if (last.succeeded()) return {};
    return executions <= 1 ? last.note()
                           : last.note() + " (the last of " + std::to_string(executions) + ")";
}

serialization::Evidence hook_evidence(const Hook& hook, HookPhase phase,
                                      const HookOutcome& outcome) {
    serialization::Evidence evidence;
    evidence.kind = serialization::EvidenceKind::hook;
    evidence.name = hook.name;
    evidence.type = text_of(phase);
    evidence.quiesced = outcome.last.succeeded();
    evidence.duration_ns = outcome.duration.count();
    evidence.note = outcome.note();
    evidence.executions = outcome.executions;
    return evidence;
}

}  // namespace stillpoint::hooks
