#include "vss/component_plan.hpp"

#include <algorithm>

namespace stillpoint::windows_guest {
namespace {

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_text(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, lower, lower);
}

std::string full_path(const WriterComponent& component) {
    return component.logical_path.empty() ? component.name
                                          : component.logical_path + "\\" + component.name;
}

bool stands_for(const WriterComponent& above, const WriterComponent& below) {
    if (!above.selectable) return false;
    const std::string path = full_path(above);
    const std::string_view where = below.logical_path;
    if (path.empty() || !same_text(where.substr(0, path.size()), path)) return false;
    return where.size() == path.size() || where[path.size()] == '\\';
}

}  // namespace

std::vector<std::size_t> plan_components(std::span<const WriterComponent> all) {
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < all.size(); ++i) {
        const bool stood_for = std::ranges::any_of(
            all, [&](const WriterComponent& other) { return stands_for(other, all[i]); });
        if (!stood_for) chosen.push_back(i);
    }
    return chosen;
}

bool WriterChoice::leaves_out(std::string_view name, std::string_view class_id) const {
    const auto names_it = [&](const std::string& entry) {
        return same_text(entry, name) || same_text(entry, class_id);
    };
    if (!included.empty() && std::ranges::none_of(included, names_it)) return true;
    return std::ranges::any_of(excluded, names_it);
}

bool is_class_id(std::string_view text) {
    constexpr std::string_view form = "{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}";
    return std::ranges::equal(text, form, [](char c, char wanted) {
        if (wanted != 'x') return c == wanted;
        const char low = lower(c);
        return (c >= '0' && c <= '9') || (low >= 'a' && low <= 'f');
    });
}

}  // namespace stillpoint::windows_guest
