#include "freeze/rules.hpp"

#include <fnmatch.h>
#include <strings.h>

#include <algorithm>

namespace stillpoint::linux_guest {

std::string_view name_of(Pattern::By by) noexcept {
    switch (by) {
        case Pattern::By::path:
            return "path";
        case Pattern::By::glob:
            return "glob";
        case Pattern::By::uuid:
            return "uuid";
        case Pattern::By::label:
            return "label";
        case Pattern::By::type:
            return "type";
    }
    return "path";
}

std::string Pattern::shown() const {
    return std::string(name_of(by)) + "=\"" + text + "\"";
}

bool FreezeRules::need_identity() const {
    const auto needs = [](const Pattern& pattern) {
        return pattern.by == Pattern::By::uuid || pattern.by == Pattern::By::label;
    };
    return std::ranges::any_of(include, needs) || std::ranges::any_of(exclude, needs) ||
           std::ranges::any_of(budgets, needs, &MountBudget::which);
}

bool matches(const Pattern& pattern, const std::vector<const Mount*>& mounts,
             const Identity& identity) {
    const auto any = [&](auto&& test) { return std::ranges::any_of(mounts, test); };
    switch (pattern.by) {
        case Pattern::By::path:
            return any([&](const Mount* mount) { return mount->point == pattern.text; });
        case Pattern::By::glob:
            return any([&](const Mount* mount) {
                return ::fnmatch(pattern.text.c_str(), mount->point.c_str(), FNM_PATHNAME) == 0;
            });
        case Pattern::By::uuid:
            return !identity.uuid.empty() &&
                   ::strcasecmp(identity.uuid.c_str(), pattern.text.c_str()) == 0;
        case Pattern::By::label:
            return !identity.label.empty() && identity.label == pattern.text;
        case Pattern::By::type:
            return any([&](const Mount* mount) { return mount->type == pattern.text; });
    }
    return false;
}

}  // namespace stillpoint::linux_guest
