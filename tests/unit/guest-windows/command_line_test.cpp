#include "hooks/command_line.hpp"

#include <doctest/doctest.h>

namespace stillpoint::test {
namespace {

using namespace windows_guest;

const SystemPlaces places{R"(C:\Windows)"};

CommandLine line_of(const std::string& command, std::vector<std::string> arguments = {}) {
    hooks::HookCommand hook;
    hook.command = command;
    hook.arguments = std::move(arguments);
    return command_line_of(hook, places);
}

std::string variable(const std::string& block, const std::string& name) {
    const std::string key = '\0' + name + '=';
    const std::string all = '\0' + block;
    const std::size_t at = all.find(key);
    return at == std::string::npos ? "(absent)" : std::string(all.c_str() + at + key.size());
}

}  // namespace

TEST_CASE("windows/command: a program gets its arguments as its C library takes them apart") {
    const CommandLine line =
        line_of(R"(C:\h d\a.EXE)", {"", "a b", R"(a"b)", R"(c\)", R"(d\"e)", R"(\\f\g)"});
    CHECK(line.program == R"(C:\h d\a.EXE)");
    CHECK(line.text == R"("C:\h d\a.EXE" "" "a b" "a\"b" "c\\" "d\\\"e" "\\f\g")");
}

TEST_CASE("windows/command: scripts go through the system's own interpreters") {
    const CommandLine batch = line_of(R"(C:\h d\a.Cmd)", {"x & y", R"(c\)", "a^b!"});
    CHECK(batch.program == R"(C:\Windows\System32\cmd.exe)");
    CHECK(batch.text == R"("C:\Windows\System32\cmd.exe" /d /e:on /v:off /s /c )"
                        R"(""C:\h d\a.Cmd" "x & y" "c\" "a^b!"")");
    const CommandLine power = line_of(R"(C:\h d\a.ps1)", {"-x", "a b"});
    CHECK(power.program == R"(C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe)");
    CHECK(power.text ==
          R"("C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe" -NoLogo -NoProfile )"
          R"(-NonInteractive -ExecutionPolicy Bypass -File "C:\h d\a.ps1" "-x" "a b")");
}

TEST_CASE("windows/command: the environment is the system's and the hook's, nothing else") {
    const std::string block = environment_block(
        {{"ProgramData", R"(C:\ProgramData)"},
         {"PATH", R"(C:\evil)"},
         {"PSModulePath", R"(C:\evil)"},
         {"SECRET", "x"},
         {"SystemRoot", R"(C:\evil)"}},
        {{"STILLPOINT_PHASE", "pre"}, {"Path", R"(D:\tools)"}, {"a", "1"}}, places);
    CHECK(variable(block, "ProgramData") == R"(C:\ProgramData)");
    CHECK(variable(block, "SystemRoot") == R"(C:\Windows)");
    CHECK(variable(block, "STILLPOINT_PHASE") == "pre");
    CHECK(variable(block, "Path") == R"(D:\tools)");
    CHECK(variable(block, "PATH") == "(absent)");
    CHECK(variable(block, "SECRET") == "(absent)");
    CHECK(variable(block, "PSModulePath") == "(absent)");
    CHECK(block.ends_with(std::string(2, '\0')));
    CHECK(block.find("a=1") < block.find("ComSpec="));  // by upper-case name
    CHECK(
        variable(environment_block({}, {}, places), "PATH").starts_with(R"(C:\Windows\System32;)"));
}

}  // namespace stillpoint::test
