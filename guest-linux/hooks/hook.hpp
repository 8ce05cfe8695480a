#pragma once
#include <string>
#include <vector>

#include "os/clock.hpp"

namespace stillpoint::linux_guest {

inline constexpr os::Nanoseconds hook_timeout_default = std::chrono::seconds{30};
inline constexpr os::Nanoseconds hook_timeout_max = std::chrono::minutes{10};
inline constexpr std::size_t hook_output_bytes_max = 64u
                                                     << 10;  // its end is what explains a failure

/// A program of the administrator's.
struct HookCommand {
    std::string command;  // absolute path; executed directly, never by a shell
    std::vector<std::string> arguments;
    os::Nanoseconds timeout = hook_timeout_default;
};

enum class HookPhase { pre, post };
[[nodiscard]] constexpr const char* text_of(HookPhase phase) {
    return phase == HookPhase::pre ? "pre" : "post";
}

/// What a hook may know, passed in its environment.
struct HookContext {
    HookPhase phase = HookPhase::pre;
    std::string job_id;    // the host's; STILLPOINT_JOB, only if it is letters, digits and hyphens
    bool success = false;  // post: the backup succeeded; STILLPOINT_RESULT
};

}  // namespace stillpoint::linux_guest
