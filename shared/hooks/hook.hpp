#pragma once
#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "quiesce/hook_plan.hpp"

/// What both guests' hooks have in common: configuration, engine, results. Pure: what executes them
/// is each guest's own (HookSystem, HookHands).
namespace stillpoint::hooks {

using Nanoseconds = std::chrono::nanoseconds;

inline constexpr Nanoseconds hook_timeout_default = std::chrono::seconds{30};
inline constexpr Nanoseconds hook_timeout_max = std::chrono::minutes{10};  // also in total
inline constexpr Nanoseconds hook_backoff_max = std::chrono::minutes{1};
inline constexpr int hook_tries_max = 10;
inline constexpr std::size_t hooks_max = 64;
inline constexpr std::size_t hook_arguments_max = 64;
inline constexpr std::size_t hook_environment_max = 64;
inline constexpr std::size_t hook_text_bytes_max = 4096;  // one argument or value
inline constexpr std::size_t hook_file_bytes_max = 64u << 10;
// What a hook prints at its end explains a failure: that is kept.
inline constexpr std::size_t hook_output_bytes_max = 64u << 10;

/// A program of the administrator's.
struct HookCommand {
    std::string command;  // absolute path; executed directly, never by a shell
    std::vector<std::string> arguments;
    Nanoseconds timeout = hook_timeout_default;  // of each try
    Nanoseconds total_timeout{};                 // 0: as long as the tries may take
    int tries = 1;
    Nanoseconds backoff = std::chrono::seconds{1};  // before the second try; doubles
    std::string user = "root";

    /// The longest time that all tries together may take, waits included.
    [[nodiscard]] Nanoseconds total() const {
        if (total_timeout != Nanoseconds::zero()) return total_timeout;
        return std::min(timeout * tries, hook_timeout_max);
    }
};

/// What one application needs around the freeze.
struct Hook {
    std::string name;    // "NN-name" of its folder; "guest.xml" for the one in guest.xml
    std::string folder;  // STILLPOINT_HOOK_DIR
    quiesce::OnFailure on_failure = quiesce::OnFailure::fallback;
    bool freeze_needed = true;
    HookCommand pre;
    std::optional<HookCommand> post;
    std::optional<HookCommand> abort;
    std::vector<std::pair<std::string, std::string>> environment;
    std::optional<Error> problem;  // why it cannot be run; it counts as one that failed

    [[nodiscard]] quiesce::HookRules rules() const {
        return {on_failure, freeze_needed, post.has_value(), abort.has_value()};
    }
};

enum class HookPhase { pre, post, abort };
[[nodiscard]] constexpr const char* text_of(HookPhase phase) {
    if (phase == HookPhase::pre) return "pre";
    return phase == HookPhase::post ? "post" : "abort";
}

/// What a hook may know, passed in its environment.
struct HookContext {
    HookPhase phase = HookPhase::pre;
    std::string job_id;  // the host's; STILLPOINT_JOB, only if it is letters, digits and hyphens
    std::string result;  // STILLPOINT_RESULT: success, failure or aborted; empty for pre
    std::string state_folder;  // STILLPOINT_STATE_DIR
};

}  // namespace stillpoint::hooks
