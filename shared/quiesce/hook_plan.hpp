#pragma once
#include <algorithm>
#include <span>

#include "serialization/enum_text.hpp"

/// The rules of hooks (docs/protocol.md, "Hooks"): what follows a pre that ended, how each hook is
/// ended, and whether a freeze is needed. Pure, and the same in every guest.
namespace stillpoint::quiesce {

/// What a failed pre means for the backup.
enum class OnFailure {
    fail,      // no recovery point is kept
    fallback,  // the application level is given up: every hook is aborted, the freeze goes on
    carry_on,  // only this hook is aborted; the level is filesystem at most
};
inline constexpr serialization::EnumTable<OnFailure, 3> on_failure_names{
    {{OnFailure::fail, "fail"},
     {OnFailure::fallback, "fallback"},
     {OnFailure::carry_on, "continue"}}};
SP_ENUM_TEXT(OnFailure, on_failure_names)

enum class PreResult {
    not_started,  // nothing was executed: nothing is owed
    succeeded,
    failed,  // it ran, and failed or was too late
    cut,     // it ran, and was killed or forgotten before it ended
};

struct HookRules {
    OnFailure on_failure = OnFailure::fallback;
    bool freeze_needed = true;
    bool has_post = false;
    bool has_abort = false;
};

enum class AfterPre { go_on, undo_this, undo_all };

[[nodiscard]] constexpr AfterPre after_pre(const HookRules& rules, PreResult result) {
    if (result == PreResult::succeeded) return AfterPre::go_on;
    const bool alone = rules.on_failure == OnFailure::carry_on && result != PreResult::cut;
    return alone ? AfterPre::undo_this : AfterPre::undo_all;
}

/// How the whole of the hooks ends.
enum class Ending {
    success,  // the snapshot was taken
    failure,  // every pre had succeeded, the backup did not
    aborted,  // a pre failed or was cut, or nobody knows
};

/// What is executed to end one hook: at most one command, once.
enum class EndWith { nothing, post, abort, post_told_aborted };

[[nodiscard]] constexpr EndWith end_with(const HookRules& rules, PreResult result, Ending ending) {
    if (result == PreResult::not_started) return EndWith::nothing;
    const bool kept = result == PreResult::succeeded && ending != Ending::aborted;
    if (kept) return rules.has_post ? EndWith::post : EndWith::nothing;
    if (rules.has_abort) return EndWith::abort;
    return rules.has_post ? EndWith::post_told_aborted : EndWith::nothing;
}

struct HookFate {
    HookRules rules;
    PreResult result = PreResult::not_started;
};

/// Without a freeze the hooks alone hold the data still: all of them must say so and succeed.
[[nodiscard]] constexpr bool freeze_needed(std::span<const HookFate> hooks) {
    const auto enough = [](const HookFate& hook) {
        return !hook.rules.freeze_needed && hook.result == PreResult::succeeded;
    };
    return hooks.empty() || !std::all_of(hooks.begin(), hooks.end(), enough);
}

}  // namespace stillpoint::quiesce
