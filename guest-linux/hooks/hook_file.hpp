#pragma once
#include <array>
#include <string_view>

#include "hooks/hook.hpp"
#include "hooks/strict_xml.hpp"

namespace stillpoint::linux_guest {

/// Every element and attribute of hook.xml, "element" or "element@attribute": the manual page is
/// tested against it. `abort` and `post` take the attributes of `pre`.
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

/// Parses hook.xml.
/// @param hook  name and folder are set; commands without a slash are files of the folder
/// @errors invalid, id "config.hook": file, line and what is accepted
[[nodiscard]] Result<Hook> parse_hook_file(std::string_view xml, const std::string& file,
                                           Hook hook);

/// The same inside another document: attributes and children of `element` that are a hook's.
/// @param more  attributes that the caller reads itself
/// @return false: there is no <pre>
[[nodiscard]] Result<bool> read_hook_element(const StrictXml& reader,
                                             const tinyxml2::XMLElement& element, Hook& hook,
                                             const std::vector<std::string_view>& more);

}  // namespace stillpoint::linux_guest
