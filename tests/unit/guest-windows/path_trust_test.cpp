#include "os/path_trust.hpp"

#include <doctest/doctest.h>

namespace stillpoint::test {
namespace {

using namespace windows_guest::os;

constexpr const char* system_sid = "S-1-5-18";
constexpr const char* admins = "S-1-5-32-544";
constexpr const char* users = "S-1-5-32-545";
constexpr const char* authenticated = "S-1-5-11";
constexpr const char* installer = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
constexpr std::uint32_t full = 0x1f01ff;
constexpr std::uint32_t read_execute = 0x1200a9;
constexpr std::uint32_t modify = 0x1301bf;

PathFacts facts(std::vector<AccessEntry> entries, const char* owner = admins) {
    return {R"(C:\x)", owner, std::move(entries), false, false};
}

std::string judged(const PathFacts& path, PathRole role, const TrustRules& rules = {}) {
    const Status done = judge_path(path, role, rules);
    if (done) return {};
    CHECK(done.error().id == "hook.untrusted");
    CHECK(!done.error().remedy.empty());
    return done.error().text;
}

}  // namespace

TEST_CASE("windows/trust: what Windows itself sets up is accepted where it must be") {
    // "C:\" and "C:\ProgramData" of an installation: users may make folders and files there.
    const PathFacts drive = facts({{admins, "", full},
                                   {system_sid, "", full},
                                   {users, "", read_execute},
                                   {authenticated, "", 0xe0010000, true},
                                   {authenticated, "", 0x4}},
                                  installer);
    const PathFacts program_data = facts({{system_sid, "", full},
                                          {admins, "", full},
                                          {"S-1-3-0", "", 0x10000000, true},
                                          {users, "", read_execute},
                                          {users, "", 0x116}},
                                         system_sid);
    CHECK(judged(drive, PathRole::above).empty());
    CHECK(judged(program_data, PathRole::above).empty());
    // … but a hook directly in there stands beside what anybody may put there.
    CHECK(judged(drive, PathRole::folder).find("can be written by") != std::string::npos);
    CHECK(judged(program_data, PathRole::folder).find(users) != std::string::npos);
    const PathFacts program = facts({{installer, "", full},
                                     {system_sid, "", modify},
                                     {admins, "", modify},
                                     {users, "", read_execute},
                                     {"S-1-15-2-1", "", read_execute}},
                                    installer);
    for (const PathRole role : {PathRole::above, PathRole::folder, PathRole::file}) {
        CHECK(judged(program, role).empty());
    }
}

TEST_CASE("windows/trust: each right that changes a file or a folder is refused, alone") {
    for (const std::uint32_t right :
         {0x2U, 0x4U, 0x40U, 0x100U, 0x10000U, 0x40000U, 0x80000U, 0x10000000U, 0x40000000U}) {
        CAPTURE(right);
        const PathFacts path = facts({{users, "BUILTIN\\Users", right}});
        CHECK(judged(path, PathRole::file).find("BUILTIN\\Users (S-1-5-32-545)") !=
              std::string::npos);
        CHECK(!judged(path, PathRole::folder).empty());
    }
    for (const std::uint32_t right : {0x40U, 0x10000U, 0x40000U, 0x80000U, 0x10000000U}) {
        CHECK(judged(facts({{users, "", right}}), PathRole::above).find("can be replaced by") !=
              std::string::npos);
    }
    for (const std::uint32_t right : {0x1U, 0x8U, 0x20U, 0x80U, 0x20000U, 0x100000U}) {
        CHECK(judged(facts({{users, "", right}}), PathRole::file).empty());
    }
}

TEST_CASE("windows/trust: owner, missing list and links") {
    const char* bob = "S-1-5-21-1-2-3-1001";
    CHECK(judged(facts({}, bob), PathRole::above).find("belongs neither") != std::string::npos);
    CHECK(judged(facts({}, ""), PathRole::file).find("belongs neither") != std::string::npos);
    CHECK(judged(facts({}, "S-1-3-0"), PathRole::file).find("belongs neither") !=
          std::string::npos);
    CHECK(judged(facts({{bob, "", full}}, bob), PathRole::file, {bob}).empty());
    PathFacts open = facts({});
    open.open_to_all = true;
    CHECK(judged(open, PathRole::above).find("by everybody") != std::string::npos);
    PathFacts link = facts({});
    link.link = true;
    CHECK(judged(link, PathRole::above).find("is a link") != std::string::npos);
}

TEST_CASE("windows/trust: a path is taken apart as Windows does, or refused") {
    const auto parts = parts_of_path(R"(C:\a b\c.exe)").value();
    CHECK(parts == std::vector<std::string>{"C:\\", R"(C:\a b)", R"(C:\a b\c.exe)"});
    CHECK(parts_of_path(R"(d:\\a/b\)").value() ==
          std::vector<std::string>{"d:\\", R"(d:\a)", R"(d:\a\b)"});
    for (const char* path :
         {"", "C:", "C:a", R"(\a)", R"(\\host\share\a)", R"(\\?\C:\a)", R"(C:\..\a)", R"(C:\a\.\b)",
          R"(C:\a.\b)", R"(C:\a \b)", R"(C:\a:stream)", R"(C:\a*)", "C:\\a\nb", "1:\\a"}) {
        CAPTURE(path);
        CHECK(!parts_of_path(path));
    }
}

}  // namespace stillpoint::test
