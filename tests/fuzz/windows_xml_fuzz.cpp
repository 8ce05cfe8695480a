// hook.xml and guest.xml of a Windows guest: what is accepted can be executed as it stands, and its
// line is taken apart into the same words; what is refused is refused by file and line.
#include <algorithm>

#include "fuzz.hpp"
#include "hooks/command_line.hpp"
#include "hooks/hook_file.hpp"
#include "os/path_trust.hpp"
#include "service/guest_config.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace windows_guest;
using hooks::Hook;
using hooks::HookCommand;

const std::string folder = R"(C:\ProgramData\Stillpoint\hooks.d\10-a)";

Result<Hook> parse(std::string_view xml) {
    Hook hook;
    hook.name = "10-a";
    hook.folder = folder;
    return parse_hook_file(xml, "hook.xml", std::move(hook), {}, hooks::Dialect::windows);
}

/// As the C library of Windows takes a line apart.
std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    bool quoted = false;
    bool within = false;
    std::size_t backslashes = 0;
    const auto flush = [&](std::size_t count) { words.back().append(count, '\\'); };
    for (const char c : line) {
        if (!within && c == ' ') continue;
        if (!std::exchange(within, true)) words.emplace_back();
        if (c == '\\') {
            ++backslashes;
            continue;
        }
        const std::size_t before = std::exchange(backslashes, 0);
        flush(c == '"' ? before / 2 : before);
        if (c == '"' && before % 2 == 0) {
            quoted = !quoted;
        } else if (c == ' ' && !quoted) {
            within = false;
        } else {
            words.back() += c;
        }
    }
    if (within) flush(backslashes);
    return words;
}

void check_command(const HookCommand& command) {
    const std::string_view end = hooks::windows_command_end(command.command);
    SP_CHECK(!end.empty());
    SP_CHECK(hooks::is_absolute_path(hooks::Dialect::windows, command.command));
    const CommandLine line = command_line_of(command, {R"(C:\Windows)"});
    if (end == ".exe") {
        std::vector<std::string> wanted{command.command};
        wanted.insert(wanted.end(), command.arguments.begin(), command.arguments.end());
        SP_CHECK(line.program == command.command && words_of(line.text) == wanted);
    } else if (end != ".ps1") {
        // Nothing in it can leave its quotes.
        const auto quotes = std::ranges::count(line.text, '"');
        SP_CHECK(quotes == 6 + 2 * std::ssize(command.arguments));
        SP_CHECK(line.text.find_first_of("%\r\n") == std::string::npos);
    }
}

void check_hook(const Hook& hook) {
    check_command(hook.pre);
    if (hook.post) check_command(*hook.post);
    if (hook.abort) check_command(*hook.abort);
    SP_CHECK(hook.freeze_needed);
}

void check_error(const Error& error, std::string_view id, std::string_view file) {
    SP_CHECK(error.code == Errc::invalid && error.id == id);
    SP_CHECK(error.text.starts_with(std::string(file) + ":") && !error.remedy.empty());
}

void check_path(const std::string& path) {
    const auto parts = os::parts_of_path(path);
    if (!parts) return;
    for (const std::string& part : *parts) {
        SP_CHECK(part.starts_with(path.substr(0, 3)));
        SP_CHECK(!part.ends_with("..") && part.find(':', 2) == std::string::npos);
    }
}

}  // namespace

void fuzz_one(ByteView input) {
    const std::string text{as_text(input)};
    const auto hook = parse(text);
    if (hook) check_hook(*hook);
    if (!hook) check_error(hook.error(), "config.hook", "hook.xml");
    const auto config = parse_guest_config(text, "guest.xml");
    if (config) {
        SP_CHECK(config->freeze_budget >= freeze_budget_min && config->freeze_budget <= hold_limit);
        if (config->hook) check_hook(*config->hook);
    } else {
        check_error(config.error(), "config.guest", "guest.xml");
    }
    check_path(text);
    check_path("C:\\" + text);
}

}  // namespace stillpoint::fuzz
