#pragma once
#include <string>
#include <utility>
#include <vector>

#include "hooks/hook_engine.hpp"

namespace stillpoint::hooks {

/// What a command is told: STILLPOINT_…, then what the hook's own file sets. The system's part,
/// PATH for example, is each guest's own.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> hook_environment(
    const HookOrder& order, const std::string& state_folder);

}  // namespace stillpoint::hooks
