#include "hooks/hook_file.hpp"

#include <algorithm>
#include <cctype>

namespace stillpoint::hooks {
namespace {

using namespace std::chrono_literals;
using tinyxml2::XMLElement;

constexpr std::string_view user_default = "root";
constexpr std::size_t user_bytes_max = 32;  // as useradd

Status read_on_failure(const StrictXml& xml, const XMLElement& element, quiesce::OnFailure& value) {
    const char* text = element.Attribute("on-failure");
    if (text == nullptr) return {};
    const auto parsed = quiesce::parse_enum(text, &value);
    if (!parsed) {
        return xml.wrong(
            element.GetLineNum(),
            std::string("on-failure=\"") + text + "\" is not accepted: fail, fallback or continue");
    }
    value = *parsed;
    return {};
}

class HookReader {
public:
    HookReader(const StrictXml& xml, Hook& hook, const HookElementRules& rules)
        : xml_(xml), hook_(hook), rules_(rules) {}

    Result<bool> read(const XMLElement& element) {
        std::vector<std::string_view> attributes = rules_.attributes;
        attributes.emplace_back("on-failure");
        if (!windows()) attributes.emplace_back("freeze-needed");
        SP_TRY(xml_.only_attributes(element, attributes));
        hook_.on_failure = rules_.defaults.on_failure;
        SP_TRY(read_on_failure(xml_, element, hook_.on_failure));
        SP_TRY(xml_.yes_or_no(element, "freeze-needed", hook_.freeze_needed));
        const auto command = [this](std::optional<HookCommand>& target) {
            return [this, &target](const XMLElement& child) { return read_command(child, target); };
        };
        std::optional<HookCommand> pre;
        std::vector<StrictXml::Child> accepted{
            {"pre", command(pre)},
            {"post", command(hook_.post)},
            {"abort", command(hook_.abort)},
            {"environment", [this](const XMLElement& e) { return read_environment(e); }, true}};
        accepted.insert(accepted.end(), rules_.children.begin(), rules_.children.end());
        SP_TRY(xml_.children(element, accepted));
        if (!pre && (hook_.post || hook_.abort)) {
            return xml_.wrong(element.GetLineNum(),
                              "<post> and <abort> run only after a <pre>, and there is none");
        }
        if (!pre) return false;
        hook_.pre = *std::move(pre);
        return true;
    }

private:
    Status read_command(const XMLElement& element, std::optional<HookCommand>& target) {
        std::vector<std::string_view> attributes{"command", "timeout", "total-timeout", "tries",
                                                 "backoff"};
        if (!windows()) attributes.emplace_back("user");
        SP_TRY(xml_.only_attributes(element, attributes));
        HookCommand command;
        command.timeout = rules_.defaults.timeout;
        command.tries = rules_.defaults.tries;
        SP_ASSIGN(command.command, path_of(element));
        SP_TRY(xml_.duration(element, "timeout", command.timeout, {1s, hook_timeout_max}));
        SP_TRY(
            xml_.duration(element, "total-timeout", command.total_timeout, {1s, hook_timeout_max}));
        SP_TRY(xml_.number(element, "tries", command.tries, {1, hook_tries_max}));
        SP_TRY(xml_.duration(element, "backoff", command.backoff, {0ms, hook_backoff_max}));
        SP_TRY(read_user(element, command.user));
        SP_TRY(xml_.children(
            element, {{"argument",
                       [&](const XMLElement& argument) { return read_argument(argument, command); },
                       true}}));
        if (windows()) SP_TRY(check_executable(element, command));
        target = std::move(command);
        return {};
    }

    [[nodiscard]] bool windows() const { return xml_.dialect() == Dialect::windows; }

    /// Windows executes by the end of a name. cmd.exe has no way to write every argument.
    [[nodiscard]] Status check_executable(const XMLElement& element,
                                          const HookCommand& command) const {
        const std::string_view end = windows_command_end(command.command);
        if (end.empty()) {
            return xml_.wrong(element.GetLineNum(), "command of <" + std::string(element.Name()) +
                                                        "> must end in .exe, .cmd, .bat or .ps1");
        }
        const bool batch = end == ".cmd" || end == ".bat";
        const auto strange = [](const std::string& text) {
            return text.find_first_of("\"%\r\n") != std::string::npos;
        };
        if (batch &&
            (strange(command.command) || std::ranges::any_of(command.arguments, strange))) {
            return xml_.wrong(element.GetLineNum(),
                              "neither the path of a .cmd or .bat nor an <argument> of it can hold "
                              "\", % or a line's end: use <environment>");
        }
        return {};
    }

    /// A bare name is a file beside hook.xml; anything else an absolute path.
    [[nodiscard]] Result<std::string> path_of(const XMLElement& element) const {
        const char* text = element.Attribute("command");
        const std::string_view value = text == nullptr ? "" : text;
        const std::string_view separators = windows() ? "/\\:" : "/";
        const bool bare = !value.empty() &&
                          value.find_first_of(separators) == std::string_view::npos &&
                          value != "." && value != ".." && !hook_.folder.empty();
        if (bare) return hook_.folder + (windows() ? "\\" : "/") + std::string(value);
        if (!hook_.folder.empty() && !is_absolute_path(xml_.dialect(), value)) {
            return xml_.wrong(element.GetLineNum(),
                              "command of <" + std::string(element.Name()) +
                                  "> must be a file of the hook's folder or an absolute path");
        }
        return xml_.path(element, "command");
    }

    Status read_user(const XMLElement& element, std::string& user) const {
        const char* text = element.Attribute("user");
        user = text == nullptr ? user_default : text;
        const bool plain =
            !user.empty() && user.size() <= user_bytes_max && std::ranges::all_of(user, [](char c) {
                return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' ||
                       c == '.' || c == '$';
            });
        if (plain) return {};
        return xml_.wrong(element.GetLineNum(), "user=\"" + user + "\" is no user's name");
    }

    Status read_argument(const XMLElement& element, HookCommand& command) const {
        SP_ASSIGN(std::string argument, xml_.text(element));
        if (command.arguments.size() == hook_arguments_max ||
            argument.size() > hook_text_bytes_max) {
            return xml_.wrong(element.GetLineNum(),
                              "at most " + std::to_string(hook_arguments_max) +
                                  " arguments of at most " + std::to_string(hook_text_bytes_max) +
                                  " bytes");
        }
        command.arguments.push_back(std::move(argument));
        return {};
    }

    Status read_environment(const XMLElement& element) {
        SP_TRY(xml_.only_attributes(element, {"name", "value"}));
        SP_TRY(xml_.children(element, {}));
        const char* given = element.Attribute("name");
        const char* value = element.Attribute("value");
        const std::string name = given == nullptr ? "" : given;
        const bool plain = !name.empty() && name.size() <= hook_text_bytes_max &&
                           std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
                           std::ranges::all_of(name, [](char c) {
                               return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
                           });
        if (!plain || name.starts_with("STILLPOINT_")) {
            return xml_.wrong(element.GetLineNum(),
                              "name=\"" + name +
                                  "\" of <environment> must be letters, digits and _, and not "
                                  "begin with a digit or STILLPOINT_");
        }
        if (value == nullptr || std::string_view(value).size() > hook_text_bytes_max ||
            hook_.environment.size() == hook_environment_max) {
            return xml_.wrong(element.GetLineNum(),
                              "<environment> needs a value; at most " +
                                  std::to_string(hook_environment_max) + " of at most " +
                                  std::to_string(hook_text_bytes_max) + " bytes");
        }
        hook_.environment.emplace_back(name, value);
        return {};
    }

    const StrictXml& xml_;
    Hook& hook_;
    const HookElementRules& rules_;
};

}  // namespace

std::string_view windows_command_end(std::string_view command) {
    const auto lower = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    for (const std::string_view end : windows_command_ends) {
        if (command.size() <= end.size()) continue;
        const std::string_view tail = command.substr(command.size() - end.size());
        if (std::ranges::equal(tail, end, {}, lower)) return end;
    }
    return {};
}

Result<bool> read_hook_element(const StrictXml& reader, const XMLElement& element, Hook& hook,
                               const HookElementRules& rules) {
    return HookReader{reader, hook, rules}.read(element);
}

Status read_hook_defaults(const StrictXml& reader, const XMLElement& element,
                          HookDefaults& defaults) {
    SP_TRY(reader.only_attributes(element, {"timeout", "retries", "on-failure"}));
    SP_TRY(reader.duration(element, "timeout", defaults.timeout,
                           {std::chrono::seconds{1}, hook_timeout_max}));
    int retries = defaults.tries - 1;
    SP_TRY(reader.number(element, "retries", retries, {0, hook_tries_max - 1}));
    defaults.tries = retries + 1;
    SP_TRY(read_on_failure(reader, element, defaults.on_failure));
    return reader.children(element, {});
}

Result<Hook> parse_hook_file(std::string_view xml, const std::string& file, Hook hook,
                             const HookDefaults& defaults, Dialect dialect) {
    const char* manual =
        dialect == Dialect::windows ? "docs/windows.md, \"Hooks\"" : "stillpoint-hooks(5)";
    const StrictXml reader{file, {"config.hook", manual, dialect}};
    const HookElementRules rules{{}, {}, defaults};
    bool found = false;
    SP_TRY(reader.document(xml, {"hook", [&](const XMLElement& root) -> Status {
                                     SP_ASSIGN(found, read_hook_element(reader, root, hook, rules));
                                     return {};
                                 }}));
    if (!found) return reader.wrong(1, "a <hook> needs a <pre>");
    return hook;
}

}  // namespace stillpoint::hooks
