#include "vault/object_names.hpp"

#include <algorithm>

namespace stillpoint::vault::names {
namespace {

bool legal(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.' || c == '_' || c == '-';
}

bool legal_component(std::string_view part) {
    return !part.empty() && part != "." && part != ".." &&
           std::all_of(part.begin(), part.end(), legal);
}

}  // namespace

Status check(std::string_view name) {
    bool good = name.size() <= bytes_max;
    std::string_view rest = name;
    while (good) {
        const std::size_t slash = rest.find('/');
        good = legal_component(rest.substr(0, slash));
        if (slash == std::string_view::npos) break;
        rest.remove_prefix(slash + 1);
    }
    if (good) return {};
    return fail(Errc::invalid, "store.name", "'" + std::string(name) + "' is no object name");
}

}  // namespace stillpoint::vault::names
