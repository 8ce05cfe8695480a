#pragma once
#include <string>
#include <vector>

#include "hooks/hook.hpp"
#include "hooks/hook_file.hpp"
#include "hooks/trusted_file.hpp"

namespace stillpoint::linux_guest {

inline constexpr const char* hooks_folder_default = "/etc/stillpoint/hooks.d";

struct HookFolder {
    std::vector<Hook> hooks;           // by name; one that cannot be read carries its problem
    std::vector<std::string> ignored;  // entries that are no hook's name, for the log
};

/// Whether a name is "NN-name": two digits, a hyphen, and letters a-z, digits and hyphens.
[[nodiscard]] bool is_hook_name(std::string_view name);

/// Reads every NN-name/hook.xml of a folder. An absent folder holds none. The folder and its files
/// name what root executes, so they are judged like that (open_trusted).
/// @return never fails as a whole: a folder that cannot be read is one hook with that problem, so
/// that the backup says so
[[nodiscard]] HookFolder read_hook_folder(const std::string& folder, const TrustRules& trust,
                                          const HookDefaults& defaults = {});

}  // namespace stillpoint::linux_guest
