// hook.xml and guest.xml: what is accepted keeps every limit of the manual, is a whole document,
// and is refused once anything stands behind it; what is refused is refused by file and line.
#include <algorithm>

#include "fuzz.hpp"
#include "hooks/hook_file.hpp"
#include "service/guest_config.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace linux_guest;
using namespace std::chrono_literals;

const std::string folder = "/etc/stillpoint/hooks.d/10-a";

Result<Hook> parse(std::string_view xml) {
    Hook hook;
    hook.name = "10-a";
    hook.folder = folder;
    return parse_hook_file(xml, "hook.xml", std::move(hook));
}

void check_command(const HookCommand& command) {
    SP_CHECK(command.command.starts_with('/') && command.command != folder + "/..");
    SP_CHECK(command.timeout >= 1s && command.timeout <= hook_timeout_max);
    SP_CHECK(command.total() >= 1s && command.total() <= hook_timeout_max);
    SP_CHECK(command.tries >= 1 && command.tries <= hook_tries_max);
    SP_CHECK(command.backoff >= 0s && command.backoff <= hook_backoff_max);
    SP_CHECK(!command.user.empty() && command.user.find(':') == std::string::npos);
    SP_CHECK(command.arguments.size() <= hook_arguments_max);
    for (const std::string& argument : command.arguments) {
        SP_CHECK(argument.size() <= hook_text_bytes_max);
    }
}

void check_hook(const Hook& hook) {
    check_command(hook.pre);
    if (hook.post) check_command(*hook.post);
    if (hook.abort) check_command(*hook.abort);
    SP_CHECK(hook.environment.size() <= hook_environment_max);
    for (const auto& [name, value] : hook.environment) {
        SP_CHECK(!name.empty() && name.find('=') == std::string::npos);
        SP_CHECK(!name.starts_with("STILLPOINT_") && value.size() <= hook_text_bytes_max);
    }
}

void check_error(const Error& error, std::string_view id, std::string_view file) {
    SP_CHECK(error.code == Errc::invalid && error.id == id);
    SP_CHECK(error.text.starts_with(std::string(file) + ":") && !error.remedy.empty());
}

}  // namespace

void fuzz_one(ByteView input) {
    const std::string xml{as_text(input)};
    const auto hook = parse(xml);
    if (hook) {
        check_hook(*hook);
        SP_CHECK(parse(xml + "<!-- a comment -->").has_value());
        for (const char* more : {"<hook><pre command='/x'/></hook>", "<x/>", "x", "<!DOCTYPE x>"}) {
            SP_CHECK(!parse(xml + more));
        }
        SP_CHECK(!parse(xml + std::string(1, '\0')));
    } else {
        check_error(hook.error(), "config.hook", "hook.xml");
    }
    const auto config = parse_guest_config(xml, "guest.xml");
    if (config && config->hook) check_hook(*config->hook);
    if (!config) check_error(config.error(), "config.guest", "guest.xml");
}

}  // namespace stillpoint::fuzz
