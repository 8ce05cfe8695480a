#pragma once
#include <string>
#include <utility>
#include <vector>

#include "hooks/hook_engine.hpp"

/// How a hook's command is told to Windows: one line of text and one block of variables. Pure.
namespace stillpoint::windows_guest {

/// The system's own places, which no configuration can change.
struct SystemPlaces {
    std::string windows;  // "C:\Windows"
};

struct CommandLine {
    std::string program;  // full path of what is started
    std::string text;     // its whole line, itself first
};

/// Programs start directly; .cmd and .bat through cmd.exe, .ps1 through powershell.exe, both of the
/// system's folder and without anybody's profile. The command and its arguments arrive as they are.
[[nodiscard]] CommandLine command_line_of(const hooks::HookCommand& command,
                                          const SystemPlaces& places);

using Variables = std::vector<std::pair<std::string, std::string>>;

/// @param inherited of this process: only what programs need of Windows itself is taken from it
/// @return "A=1\0B=2\0\0" in UTF-8, ordered as Windows wants it; the last of a name counts
[[nodiscard]] std::string environment_block(const Variables& inherited, const Variables& hook,
                                            const SystemPlaces& places);

}  // namespace stillpoint::windows_guest
