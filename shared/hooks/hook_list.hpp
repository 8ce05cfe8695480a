#pragma once
#include <functional>
#include <string>
#include <vector>

#include "hooks/hook_file.hpp"

namespace stillpoint::hooks {

struct HookFolder {
    std::vector<Hook> hooks;           // by name; one that cannot be read carries its problem
    std::vector<std::string> ignored;  // entries that are no hook's name, for the log
};

/// Whether a name is "NN-name": two digits, a hyphen, and letters a-z, digits and hyphens.
[[nodiscard]] bool is_hook_name(std::string_view name);

/// Where hooks are read from. Whoever implements it judges to whom folder and files belong: they
/// name what the administrator executes.
struct HookSource {
    /// The names in the folder. @errors not_found: there is none, which is nobody's error
    std::function<Result<std::vector<std::string>>()> list;
    std::function<Result<std::string>(const std::string& path, std::size_t bytes_max)> read;
    Dialect dialect = Dialect::posix;
};

/// Reads every NN-name/hook.xml of a folder.
/// @return never fails as a whole: a folder that cannot be read is one hook with that problem, so
/// that the backup says so
[[nodiscard]] HookFolder read_hooks(const HookSource& source, const std::string& folder,
                                    const HookDefaults& defaults);

}  // namespace stillpoint::hooks
