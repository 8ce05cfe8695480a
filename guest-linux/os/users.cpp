#include "os/users.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "os/fd.hpp"

namespace stillpoint::os {
namespace {

constexpr std::size_t accounts_bytes_max = 8u << 20;

std::vector<std::string_view> split(std::string_view text, char by) {
    std::vector<std::string_view> parts;
    for (;;) {
        const std::size_t at = text.find(by);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

std::optional<unsigned> number(std::string_view text) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    // The last one means "no change" to the kernel.
    return whole && value != ~0U ? std::optional{value} : std::nullopt;
}

}  // namespace

Result<User> find_user(const std::string& name, const AccountFiles& files) {
    if (name == "root") return User{0, 0, {0}};
    std::optional<User> user;
    SP_ASSIGN(const std::string passwd, read_file(files.passwd, accounts_bytes_max));
    for (const std::string_view line : split(passwd, '\n')) {
        const auto fields = split(line, ':');
        if (fields.size() < 7 || fields[0] != name) continue;
        const auto uid = number(fields[2]);
        const auto gid = number(fields[3]);
        if (uid && gid) user = User{*uid, *gid, {*gid}};
        break;
    }
    if (!user) {
        return fail(Errc::not_found, "user.unknown", "no user " + name + " in " + files.passwd,
                    "create it, or name another");
    }
    SP_ASSIGN(const std::string group, read_file(files.group, accounts_bytes_max));
    for (const std::string_view line : split(group, '\n')) {
        const auto fields = split(line, ':');
        if (fields.size() < 4) continue;
        const auto members = split(fields[3], ',');
        const auto gid = number(fields[2]);
        const bool member = std::ranges::find(members, name) != members.end();
        if (member && gid && *gid != user->gid) user->groups.push_back(*gid);
    }
    return *std::move(user);
}

}  // namespace stillpoint::os
