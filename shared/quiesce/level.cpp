#include "quiesce/level.hpp"

#include <algorithm>

#include "quiesce/freeze_proof.hpp"

namespace stillpoint::quiesce {
namespace {

using serialization::Evidence;
using serialization::EvidenceKind;
using serialization::Finished;
using serialization::Level;
using serialization::Warning;

/// One piece of evidence limits the level; the smallest limit is the level.
struct Cap {
    Level level = Level::application;
    std::optional<Warning> reason;
};

bool is_application_evidence(const Evidence& e) {
    return e.kind == EvidenceKind::hook || e.kind == EvidenceKind::writer;
}

std::string named(const Evidence& e) {
    return e.name + (e.note.empty() ? "" : " (" + e.note + ")");
}

/// Hooks and writers: all that were not left out must have succeeded, and there must be one.
Cap cap_of_applications(const LevelInput& input) {
    if (!input.prepared) return {Level::filesystem, {}};
    if (input.prepared->job_id != input.job_id) {
        return {Level::crash,
                Warning{"prepare.wrong_job", "the guest's Prepared is about another job"}};
    }
    bool any = false;
    for (const Evidence& e : input.prepared->evidence) {
        if (!is_application_evidence(e) || e.excluded) continue;
        if (!e.quiesced) {
            const bool writer = e.kind == EvidenceKind::writer;
            return {Level::filesystem,
                    writer
                        ? Warning{"writer.failed", "the writer failed: " + named(e)}
                        : Warning{"hook.failed", "the application was not quiesced: " + named(e)}};
        }
        any = true;
    }
    if (any) return {};
    if (input.asked != Level::application) return {Level::filesystem, {}};
    return {Level::filesystem, Warning{"hook.none", "no hook or writer took part"}};
}

bool took_back(const Evidence& e) {
    return e.kind == EvidenceKind::hook && !e.quiesced && e.type == "pre";
}

/// A hook that had succeeded may have lost its hold before the snapshot was over: the guest says so
/// with its Thawed, and where nothing was frozen with its Finished.
Cap cap_of_lost_hooks(const LevelInput& input) {
    const auto lost = [](const std::vector<Evidence>& evidence) -> Cap {
        const auto found = std::find_if(evidence.begin(), evidence.end(), took_back);
        if (found == evidence.end()) return {};
        return {Level::filesystem,
                Warning{"hook.lost", "the application was let go too early: " + named(*found)}};
    };
    if (input.thawed) return lost(input.thawed->evidence);
    return input.finished ? lost(input.finished->evidence) : Cap{};
}

/// Hooks that need no freeze must be shown to have held through the snapshot: the answer to a
/// Finish sent after it, in the same session, does.
Cap cap_of_hooks_alone(const LevelInput& input) {
    if (input.finished && input.finished->job_id == input.job_id) return {};
    return {Level::crash, Warning{"finish.missing",
                                  "nothing shows that the hooks held until after the snapshot"}};
}

/// A writer that was ready before the snapshot is quiesced only if it says after the thaw that it
/// was: silence is no evidence.
Cap cap_of_writers(const LevelInput& input) {
    if (!input.prepared) return {};
    const std::vector<Evidence> after =
        input.thawed ? input.thawed->evidence : std::vector<Evidence>{};
    for (const Evidence& before : input.prepared->evidence) {
        if (before.kind != EvidenceKind::writer || before.excluded) continue;
        const auto same = [&](const Evidence& e) {
            return e.kind == EvidenceKind::writer && e.name == before.name;
        };
        const auto failed = std::find_if(after.begin(), after.end(),
                                         [&](const Evidence& e) { return same(e) && !e.quiesced; });
        if (failed != after.end()) {
            return {Level::filesystem,
                    Warning{"writer.failed", "the writer failed: " + named(*failed)}};
        }
        if (std::none_of(after.begin(), after.end(), same)) {
            return {Level::filesystem,
                    Warning{"writer.silent",
                            "the writer said nothing after the snapshot: " + before.name}};
        }
    }
    return {};
}

/// What the writers said last is what the point keeps.
Evidence last_word(const LevelInput& input, const Evidence& before) {
    if (before.kind != EvidenceKind::writer || before.excluded) return before;
    Evidence last = before;
    bool heard = false;
    if (input.thawed) {
        for (const Evidence& e : input.thawed->evidence) {
            if (e.kind != EvidenceKind::writer || e.name != before.name) continue;
            if (!heard || !e.quiesced) last = e;
            heard = true;
        }
    }
    if (!heard) last.quiesced = false;
    return last;
}

bool hooks_suffice(const LevelInput& input, const Cap& applications) {
    return applications.level == Level::application && input.prepared &&
           !input.prepared->freeze_needed && !input.frozen;
}

LevelResult level_of_stopped(const LevelInput& input) {
    LevelResult result;
    result.warnings = input.earlier;
    result.asked = Level::offline;  // nothing could be asked of a guest that does not run
    result.level = input.machine == Machine::off_clean ? Level::offline : Level::crash;
    if (input.machine == Machine::off_unproven) {
        result.warnings.push_back(
            {"level.unclean_shutdown", "nothing proves that the guest was shut down cleanly"});
    }
    return result;
}

void apply(LevelResult& result, Cap cap) {
    result.level = std::min(result.level, cap.level);
    if (cap.reason) result.warnings.push_back(std::move(*cap.reason));
}

void add_applications(LevelResult& result, const LevelInput& input) {
    if (!input.prepared) return;
    for (const Evidence& e : input.prepared->evidence) {
        if (!is_application_evidence(e)) continue;
        result.evidence.push_back(last_word(input, e));
        if (e.excluded) result.uncovered.push_back(e.name);
    }
}

void add_coverage(LevelResult& result, const FreezeProof& proof) {
    result.uncovered.insert(result.uncovered.end(), proof.excluded.begin(), proof.excluded.end());
    for (const std::string& name : proof.uncovered) {
        result.uncovered.push_back(name);
        result.warnings.push_back({"volume.uncovered", name + " was not held still"});
    }
}

void add_freeze(LevelResult& result, const FreezeProof& proof) {
    result.frozen_ns = proof.frozen_ns;
    // Who answers for another job is not believed about filesystems either.
    if (result.level == Level::crash) return;
    result.evidence.insert(result.evidence.end(), proof.evidence.begin(), proof.evidence.end());
    if (proof.problem) apply(result, {Level::crash, proof.problem});
    if (!proof.problem) add_coverage(result, proof);
}

}  // namespace

LevelResult compute_level(const LevelInput& input) {
    if (input.machine != Machine::running) return level_of_stopped(input);
    LevelResult result;
    result.asked = input.asked;
    result.warnings = input.earlier;
    if (!input.welcome) {
        if (input.earlier.empty()) {
            result.warnings.push_back({"guest.absent", "no extension answered in the guest"});
        }
        return result;
    }
    result.level = Level::application;
    Cap applications = cap_of_applications(input);
    const bool success = applications.level == Level::application;
    if (success) applications = cap_of_lost_hooks(input);
    if (applications.level == Level::application) applications = cap_of_writers(input);
    apply(result, applications);
    add_applications(result, input);
    if (hooks_suffice(input, applications)) {
        apply(result, cap_of_hooks_alone(input));
    } else {
        add_freeze(result, prove_freeze(input));
    }
    // At crash nothing is covered: a list of what is not would say too little.
    if (result.level == Level::crash) result.uncovered.clear();
    result.partial = !result.uncovered.empty();
    return result;
}

std::string refusal_of(const std::optional<serialization::Prepared>& prepared,
                       const std::string& job_id) {
    return prepared && prepared->job_id == job_id ? prepared->refusal : std::string{};
}

std::vector<Warning> judge_finish(const std::optional<Finished>& finished,
                                  const std::string& job_id) {
    if (!finished || finished->job_id != job_id) {
        return {{"finish.missing", "the guest did not say how its post hooks ended"}};
    }
    std::vector<Warning> warnings;
    for (const Evidence& e : finished->evidence) {
        if (e.quiesced || e.excluded || took_back(e)) continue;
        warnings.push_back({"hook.post_failed", "a post hook failed: " + named(e)});
    }
    return warnings;
}

}  // namespace stillpoint::quiesce
