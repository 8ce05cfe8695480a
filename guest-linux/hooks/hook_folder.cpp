#include "hooks/hook_folder.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "hooks/hook_file.hpp"
#include "os/fd.hpp"

namespace stillpoint::linux_guest {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t name_bytes_max = 64;

Hook broken(std::string name, std::string folder, Error error) {
    Hook hook;
    hook.name = std::move(name);
    hook.folder = std::move(folder);
    hook.problem = std::move(error);
    return hook;
}

Result<Hook> read_hook(const std::string& name, const std::string& folder, const TrustRules& trust,
                       const HookDefaults& defaults) {
    const std::string file = folder + "/hook.xml";
    SP_ASSIGN(const std::string xml, read_trusted(file, hook_file_bytes_max, trust));
    Hook hook;
    hook.name = name;
    hook.folder = folder;
    return parse_hook_file(xml, file, std::move(hook), defaults);
}

}  // namespace

bool is_hook_name(std::string_view name) {
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (name.size() < 4 || name.size() > name_bytes_max) return false;
    if (!digit(name[0]) || !digit(name[1]) || name[2] != '-') return false;
    return std::ranges::all_of(
        name.substr(3), [&](char c) { return digit(c) || (c >= 'a' && c <= 'z') || c == '-'; });
}

HookFolder read_hook_folder(const std::string& folder, const TrustRules& trust,
                            const HookDefaults& defaults) {
    HookFolder found;
    std::error_code error;
    // Who wants no hooks is not asked to whom the folders above belong.
    if (fs::symlink_status(folder, error).type() == fs::file_type::not_found) return found;
    if (auto open = open_trusted_folder(folder, trust); !open) {
        if (open.error().code == Errc::not_found) return found;
        found.hooks.push_back(broken("hooks.d", folder, std::move(open).error()));
        return found;
    }
    std::vector<std::string> names;
    for (fs::directory_iterator entry{folder, error}; !error && entry != fs::directory_iterator{};
         entry.increment(error)) {
        const std::string name = entry->path().filename();
        (is_hook_name(name) ? names : found.ignored).push_back(name);
    }
    if (error) {
        found.hooks.push_back(
            broken("hooks.d", folder, os::os_error("read " + folder, error.value())));
        return found;
    }
    std::ranges::sort(names);
    if (names.size() > hooks_max) {
        found.hooks.push_back(broken(
            "hooks.d", folder,
            {Errc::invalid, "config.hook",
             folder + " holds more than " + std::to_string(hooks_max) + " hooks", "remove some"}));
        return found;
    }
    for (const std::string& name : names) {
        std::string path = folder + "/" + name;
        auto hook = read_hook(name, path, trust, defaults);
        found.hooks.push_back(hook ? *std::move(hook)
                                   : broken(name, std::move(path), std::move(hook).error()));
    }
    return found;
}

}  // namespace stillpoint::linux_guest
