#include "os/path_trust.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace stillpoint::windows_guest::os {
namespace {

constexpr const char* id = "hook.untrusted";

constexpr std::string_view owner_of_each = "S-1-3-0";    // CREATOR OWNER: no token has it
constexpr std::string_view rights_of_owner = "S-1-3-4";  // the owner is judged by itself
constexpr std::array<std::string_view, 5> trusted{
    "S-1-5-18",                                                        // the system
    "S-1-5-32-544",                                                    // administrators
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",  // TrustedInstaller
    owner_of_each, rights_of_owner};

// Rights of files and folders, winnt.h. Attributes count: they can make a folder a junction.
constexpr std::uint32_t write_data = 0x2;   // folder: make a file
constexpr std::uint32_t append_data = 0x4;  // folder: make a folder
constexpr std::uint32_t delete_child = 0x40;
constexpr std::uint32_t write_attributes = 0x100;
constexpr std::uint32_t remove = 0x10000;
constexpr std::uint32_t write_list = 0x40000;
constexpr std::uint32_t write_owner = 0x80000;
constexpr std::uint32_t generic_all = 0x10000000;
constexpr std::uint32_t generic_write = 0x40000000;

constexpr std::uint32_t replaces = delete_child | remove | write_list | write_owner | generic_all;
constexpr std::uint32_t writes =
    replaces | write_data | append_data | write_attributes | generic_write;

bool is_trusted(const std::string& sid, const TrustRules& rules) {
    if (!rules.own_user.empty() && sid == rules.own_user) return true;
    return std::ranges::find(trusted, sid) != trusted.end();
}

tl::unexpected<Error> refuse(const std::string& path, const std::string& why, std::string remedy) {
    return fail(Errc::denied, id, path + " " + why, std::move(remedy));
}

std::string only_administrators(const PathFacts& facts, PathRole role) {
    const std::string full = role == PathRole::file ? ":F" : ":(OI)(CI)F";
    return "icacls \"" + facts.path + "\" /inheritance:r /grant:r *S-1-5-18" + full +
           " *S-1-5-32-544" + full;
}

}  // namespace

Status judge_path(const PathFacts& facts, PathRole role, const TrustRules& rules) {
    if (facts.link) {
        return refuse(facts.path, "is a link or a junction", "write the real path in place of it");
    }
    if (!is_trusted(facts.owner, rules) || facts.owner == owner_of_each ||
        facts.owner == rights_of_owner) {
        return refuse(facts.path, "belongs neither to the administrators nor to the system",
                      "icacls \"" + facts.path + "\" /setowner *S-1-5-32-544");
    }
    if (facts.open_to_all) {
        return refuse(facts.path, "can be written by everybody", only_administrators(facts, role));
    }
    const std::uint32_t harmful = role == PathRole::above ? replaces : writes;
    for (const AccessEntry& entry : facts.entries) {
        if (entry.only_inherited || (entry.mask & harmful) == 0) continue;
        if (is_trusted(entry.sid, rules)) continue;
        const std::string who = entry.who.empty() ? entry.sid : entry.who + " (" + entry.sid + ")";
        const char* what = role == PathRole::above ? "can be replaced by " : "can be written by ";
        return refuse(facts.path, what + who, only_administrators(facts, role));
    }
    return {};
}

Result<std::vector<std::string>> parts_of_path(const std::string& path) {
    const bool letter =
        !path.empty() && ((path[0] >= 'A' && path[0] <= 'Z') || (path[0] >= 'a' && path[0] <= 'z'));
    if (!letter || path.substr(1, 2) != ":\\") {
        return refuse(path, "is not on a drive of this machine", "write it as C:\\folder\\file");
    }
    std::vector<std::string> parts{path.substr(0, 3)};
    for (std::size_t at = 3; at < path.size();) {
        const std::size_t end = std::min(path.find_first_of("\\/", at), path.size());
        const std::string name = path.substr(at, end - at);
        at = end + 1;
        if (name.empty()) continue;
        // Windows drops a dot or blank at the end, and takes what follows a colon for a stream.
        const bool strange =
            name.back() == '.' || name.back() == ' ' ||
            name.find_first_of(":*?\"<>|") != std::string::npos ||
            std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) < ' '; });
        if (strange) return refuse(path, "has a strange name in it", "write the path in full");
        parts.push_back(parts.back() + (parts.size() == 1 ? "" : "\\") + name);
    }
    return parts;
}

}  // namespace stillpoint::windows_guest::os
