#include "hooks/hook_list.hpp"

#include <algorithm>

namespace stillpoint::hooks {
namespace {

constexpr std::size_t name_bytes_max = 64;

Hook broken(std::string name, std::string folder, Error error) {
    Hook hook;
    hook.name = std::move(name);
    hook.folder = std::move(folder);
    hook.problem = std::move(error);
    return hook;
}

Result<Hook> read_hook(const HookSource& source, const std::string& name, const std::string& folder,
                       const HookDefaults& defaults) {
    const std::string file =
        folder + (source.dialect == Dialect::windows ? "\\" : "/") + "hook.xml";
    SP_ASSIGN(const std::string xml, source.read(file, hook_file_bytes_max));
    Hook hook;
    hook.name = name;
    hook.folder = folder;
    return parse_hook_file(xml, file, std::move(hook), defaults, source.dialect);
}

}  // namespace

bool is_hook_name(std::string_view name) {
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (name.size() < 4 || name.size() > name_bytes_max) return false;
    if (!digit(name[0]) || !digit(name[1]) || name[2] != '-') return false;
    return std::ranges::all_of(
        name.substr(3), [&](char c) { return digit(c) || (c >= 'a' && c <= 'z') || c == '-'; });
}

HookFolder read_hooks(const HookSource& source, const std::string& folder,
                      const HookDefaults& defaults) {
    HookFolder found;
    auto entries = source.list();
    if (!entries) {
        if (entries.error().code == Errc::not_found) return found;
        found.hooks.push_back(broken("hooks.d", folder, std::move(entries).error()));
        return found;
    }
    std::vector<std::string> names;
    for (const std::string& name : *entries) {
        (is_hook_name(name) ? names : found.ignored).push_back(name);
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
        std::string path = folder + (source.dialect == Dialect::windows ? "\\" : "/") + name;
        auto hook = read_hook(source, name, path, defaults);
        found.hooks.push_back(hook ? *std::move(hook)
                                   : broken(name, std::move(path), std::move(hook).error()));
    }
    return found;
}

}  // namespace stillpoint::hooks
