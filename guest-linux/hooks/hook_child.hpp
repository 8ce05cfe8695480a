#pragma once
#include <string>
#include <vector>

#include "hooks/hook_executor.hpp"
#include "hooks/hook_pen.hpp"
#include "os/fd.hpp"
#include "os/users.hpp"

namespace stillpoint::linux_guest {

inline constexpr std::size_t child_error_bytes_max = 1000;

/// What a child needs to become a hook.
struct ChildParts {
    const HookPen& pen;
    os::User user;
    std::string state_folder;
    os::UniqueFd program;   // judged; it is what is executed
    os::UniqueFd output;    // its standard output and error
    os::UniqueFd error;     // takes the text of why nothing was executed; closed by the exec
    std::vector<int> keep;  // further close-on-exec descriptors that live until then
};

/// The child's side after fork. Never returns.
[[noreturn]] void become_hook(const HookOrder& order, const ChildParts& parts);

}  // namespace stillpoint::linux_guest
