#pragma once
#include <string>

#include "hooks/hook_executor.hpp"
#include "hooks/hook_list.hpp"
#include "hooks/trusted_file.hpp"

namespace stillpoint::linux_guest {

inline constexpr const char* hooks_folder_default = "/etc/stillpoint/hooks.d";

/// As read_hooks. An absent folder holds none. The folder and its files name what root executes, so
/// they are judged like that (open_trusted).
[[nodiscard]] HookFolder read_hook_folder(const std::string& folder, const TrustRules& trust,
                                          const HookDefaults& defaults = {});

}  // namespace stillpoint::linux_guest
