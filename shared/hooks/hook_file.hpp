#pragma once
#include <array>
#include <string_view>

#include "hooks/hook.hpp"
#include "hooks/strict_xml.hpp"

namespace stillpoint::hooks {

/// Every element and attribute of hook.xml, "element" or "element@attribute": the manual page is
/// tested against it. `abort` and `post` take the attributes of `pre`. A Windows guest has neither
/// `user` nor `freeze-needed`: hooks run as the service, and VSS holds the volumes.
inline constexpr std::array<std::string_view, 16> hook_file_keys{"hook",
                                                                 "hook@on-failure",
                                                                 "hook@freeze-needed",
                                                                 "pre",
                                                                 "pre@command",
                                                                 "pre@timeout",
                                                                 "pre@total-timeout",
                                                                 "pre@tries",
                                                                 "pre@backoff",
                                                                 "pre@user",
                                                                 "post",
                                                                 "abort",
                                                                 "argument",
                                                                 "environment",
                                                                 "environment@name",
                                                                 "environment@value"};

/// What hook.xml need not say: <hooks><defaults …/> of guest.xml.
struct HookDefaults {
    Nanoseconds timeout = hook_timeout_default;
    int tries = 1;
    quiesce::OnFailure on_failure = quiesce::OnFailure::fallback;
};

/// Parses hook.xml.
/// @param hook  name and folder are set; commands that are a bare name are files of the folder
/// @errors invalid, id "config.hook": file, line and what is accepted
[[nodiscard]] Result<Hook> parse_hook_file(std::string_view xml, const std::string& file, Hook hook,
                                           const HookDefaults& defaults = {},
                                           Dialect dialect = Dialect::posix);

/// What a Windows guest can execute, by the end of its name, in any case.
inline constexpr std::array<std::string_view, 4> windows_command_ends{".exe", ".cmd", ".bat",
                                                                      ".ps1"};
/// The one of windows_command_ends that a command has; empty: none.
[[nodiscard]] std::string_view windows_command_end(std::string_view command);

/// What another document may hold besides a hook.
struct HookElementRules {
    std::vector<std::string_view> attributes;  // read by the caller
    std::vector<StrictXml::Child> children;    // likewise
    HookDefaults defaults = {};
};

/// The same inside another document: attributes and children of `element` that are a hook's.
/// @return false: there is no <pre>
[[nodiscard]] Result<bool> read_hook_element(const StrictXml& reader,
                                             const tinyxml2::XMLElement& element, Hook& hook,
                                             const HookElementRules& rules);

/// <defaults timeout= retries= on-failure=>
[[nodiscard]] Status read_hook_defaults(const StrictXml& reader,
                                        const tinyxml2::XMLElement& element,
                                        HookDefaults& defaults);

}  // namespace stillpoint::hooks
