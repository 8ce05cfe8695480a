#include "hooks/command_line.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "hooks/hook_file.hpp"

namespace stillpoint::windows_guest {
namespace {

/// As the C library of Windows takes a line apart.
/// @source Microsoft, "Parsing C command-line arguments"
std::string quoted(std::string_view argument) {
    std::string out = "\"";
    std::size_t backslashes = 0;
    for (const char c : argument) {
        if (c == '"') out.append(backslashes + 1, '\\');
        backslashes = c == '\\' ? backslashes + 1 : 0;
        out += c;
    }
    out.append(backslashes, '\\');
    return out + "\"";
}

std::string all_quoted(const hooks::HookCommand& command) {
    std::string out = quoted(command.command);
    for (const std::string& argument : command.arguments) out += " " + quoted(argument);
    return out;
}

/// cmd.exe knows no escapes: between quotes everything but a quote and % is itself, and
/// hook_file.cpp refuses those. A backslash at the end is an ordinary character.
std::string all_between_quotes(const hooks::HookCommand& command) {
    std::string out = "\"" + command.command + "\"";
    for (const std::string& argument : command.arguments) out += " \"" + argument + "\"";
    return out;
}

std::string upper(std::string text) {
    for (char& c : text) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return text;
}

// What programs of Windows fail without; nothing here can be set by a user.
constexpr std::array<std::string_view, 13> needed{
    "SystemDrive",           "ProgramData",  "ALLUSERSPROFILE",    "ProgramFiles",
    "ProgramFiles(x86)",     "ProgramW6432", "CommonProgramFiles", "CommonProgramFiles(x86)",
    "CommonProgramW6432",    "PUBLIC",       "COMPUTERNAME",       "NUMBER_OF_PROCESSORS",
    "PROCESSOR_ARCHITECTURE"};

}  // namespace

CommandLine command_line_of(const hooks::HookCommand& command, const SystemPlaces& places) {
    const std::string_view end = hooks::windows_command_end(command.command);
    const std::string system = places.windows + "\\System32\\";
    if (end == ".cmd" || end == ".bat") {
        const std::string shell = system + "cmd.exe";
        // No AutoRun (/d), no delayed expansion of ! (/v:off); the outermost quotes are dropped
        // (/s).
        return {shell,
                quoted(shell) + " /d /e:on /v:off /s /c \"" + all_between_quotes(command) + "\""};
    }
    if (end == ".ps1") {
        const std::string shell = system + "WindowsPowerShell\\v1.0\\powershell.exe";
        return {shell, quoted(shell) +
                           " -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File " +
                           all_quoted(command)};
    }
    return {command.command, all_quoted(command)};
}

std::string environment_block(const Variables& inherited, const Variables& hook,
                              const SystemPlaces& places) {
    std::map<std::string, std::string> all;  // by upper-case name, as Windows orders them
    const auto set = [&](const std::string& name, const std::string& value) {
        all[upper(name)] = name + "=" + value;
    };
    for (const auto& variable : inherited) {
        const std::string name = upper(variable.first);
        const auto same = [&](std::string_view other) { return upper(std::string(other)) == name; };
        if (std::ranges::any_of(needed, same)) set(variable.first, variable.second);
    }
    const std::string system = places.windows + "\\System32";
    set("SystemRoot", places.windows);
    set("windir", places.windows);
    set("ComSpec", system + "\\cmd.exe");
    set("PATHEXT", ".COM;.EXE;.BAT;.CMD");
    set("PATH", system + ";" + places.windows + ";" + system + "\\Wbem;" + system +
                    "\\WindowsPowerShell\\v1.0");
    set("TEMP", places.windows + "\\Temp");
    set("TMP", places.windows + "\\Temp");
    for (const auto& [name, value] : hook) set(name, value);
    std::string block;
    for (const auto& [name, line] : all) (block += line) += '\0';
    return block + '\0';
}

}  // namespace stillpoint::windows_guest
