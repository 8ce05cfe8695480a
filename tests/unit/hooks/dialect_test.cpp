#include <doctest/doctest.h>

#include "hooks/hook_list.hpp"

using namespace stillpoint;
using namespace stillpoint::hooks;

namespace {

Result<Hook> parse(const std::string& xml) {
    Hook hook;
    hook.name = "10-db";
    hook.folder = R"(C:\ProgramData\Stillpoint\hooks.d\10-db)";
    return parse_hook_file(xml, "h.xml", std::move(hook), {}, Dialect::windows);
}

bool refused(const std::string& xml, std::string_view part) {
    const auto hook = parse(xml);
    CAPTURE(xml);
    REQUIRE(!hook);
    CAPTURE(hook.error().text);
    CHECK(hook.error().id == "config.hook");
    CHECK(hook.error().remedy.find("windows.md") != std::string::npos);
    return hook.error().text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("hooks/dialect: a Windows hook names files as Windows does") {
    const Hook hook = parse(R"(<hook on-failure="fail"><pre command="Pre.CMD" timeout="5s">
<argument>a b</argument></pre><post command="D:\tools\after.exe"><argument>50%</argument></post>
<abort command="undo.ps1"/></hook>)")
                          .value();
    CHECK(hook.pre.command == R"(C:\ProgramData\Stillpoint\hooks.d\10-db\Pre.CMD)");
    CHECK(hook.post->command == R"(D:\tools\after.exe)");
    CHECK(hook.abort->command == R"(C:\ProgramData\Stillpoint\hooks.d\10-db\undo.ps1)");
    CHECK(windows_command_end(hook.pre.command) == ".cmd");
}

TEST_CASE("hooks/dialect: what a Windows guest cannot do is refused") {
    CHECK(refused(R"(<hook><pre command="pre"/></hook>)", "must end in .exe, .cmd, .bat or .ps1"));
    CHECK(refused(R"(<hook><pre command="/bin/pre.exe"/></hook>)", "absolute path"));
    CHECK(refused(R"(<hook><pre command="C:pre.exe"/></hook>)", "absolute path"));
    CHECK(refused(R"(<hook><pre command="sub\pre.exe"/></hook>)", "absolute path"));
    CHECK(refused(R"(<hook><pre command="\\host\share\pre.exe"/></hook>)", "absolute path"));
    CHECK(refused(R"(<hook><pre command="pre.exe" user="bob"/></hook>)", "unknown attribute user"));
    CHECK(refused(R"(<hook freeze-needed="no"><pre command="pre.exe"/></hook>)",
                  "unknown attribute freeze-needed"));
    for (const char* text : {"50%", "a&quot;b", "a&#10;b"}) {
        const std::string argument = std::string("<argument>") + text + "</argument>";
        CHECK(refused("<hook><pre command=\"pre.bat\">" + argument + "</pre></hook>",
                      "use <environment>"));
        CHECK(parse("<hook><pre command=\"pre.ps1\">" + argument + "</pre></hook>"));
    }
}

TEST_CASE("hooks/dialect: a folder is read with the separators of its guest") {
    std::vector<std::string> read;
    const HookSource source{[] {
                                return Result<std::vector<std::string>>{{"20-b", "notes.txt"}};
                            },
                            [&](const std::string& path, std::size_t) -> Result<std::string> {
                                read.push_back(path);
                                return R"(<hook><pre command="pre.exe"/></hook>)";
                            },
                            Dialect::windows};
    const HookFolder found = read_hooks(source, R"(C:\hooks.d)", {});
    REQUIRE(found.hooks.size() == 1);
    CHECK(!found.hooks[0].problem);
    CHECK(found.hooks[0].folder == R"(C:\hooks.d\20-b)");
    CHECK(read == std::vector<std::string>{R"(C:\hooks.d\20-b\hook.xml)"});
    CHECK(found.ignored == std::vector<std::string>{"notes.txt"});
}
