#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "freeze/plan.hpp"
#include "hooks/hook_folder.hpp"

namespace stillpoint::linux_guest {

inline constexpr std::string_view guest_config_path = "/etc/stillpoint/guest.xml";
inline constexpr std::size_t guest_config_bytes_max = 1u << 20;
inline constexpr const char* guest_config_hook = "guest.xml";  // its hook's name
inline constexpr os::Nanoseconds freeze_budget_min = std::chrono::seconds{1};
inline constexpr os::Nanoseconds freeze_budget_max =
    std::chrono::seconds{30};  // the kernel complains at 120 s
inline constexpr os::Nanoseconds freeze_budget_default = std::chrono::seconds{5};

inline constexpr os::Nanoseconds mount_budget_min = std::chrono::milliseconds{100};

/// What guest.xml says; the defaults are those of an absent or empty file.
struct GuestConfig {
    os::Nanoseconds freeze_budget =
        freeze_budget_default;  // longest time frozen, whatever the host asks
    FreezeRules rules;
    std::string hooks_folder = hooks_folder_default;
    HookDefaults hook_defaults;  // of the folder's hooks
    std::optional<Hook> hook;    // the one that stands in guest.xml itself; runs before the others
};

/// Every element and attribute of guest.xml, "element" or "element@attribute": the manual page is
/// tested against it. What <hooks> may hold: hook_file_keys.
inline constexpr std::array<std::string_view, 33> guest_config_keys{"guest",
                                                                    "freeze",
                                                                    "freeze@budget",
                                                                    "freeze@mount-budget",
                                                                    "freeze@mode",
                                                                    "freeze@exclude",
                                                                    "include",
                                                                    "include@path",
                                                                    "include@glob",
                                                                    "include@uuid",
                                                                    "include@label",
                                                                    "include@type",
                                                                    "exclude",
                                                                    "exclude@path",
                                                                    "exclude@glob",
                                                                    "exclude@uuid",
                                                                    "exclude@label",
                                                                    "exclude@type",
                                                                    "mount",
                                                                    "mount@path",
                                                                    "mount@glob",
                                                                    "mount@uuid",
                                                                    "mount@label",
                                                                    "mount@type",
                                                                    "mount@budget",
                                                                    "hooks",
                                                                    "hooks@dir",
                                                                    "hooks@on-failure",
                                                                    "hooks@freeze-needed",
                                                                    "defaults",
                                                                    "defaults@timeout",
                                                                    "defaults@retries",
                                                                    "defaults@on-failure"};

/// Strict: an unknown element or attribute or a wrong value is an error with file, line and what is
/// accepted instead.
/// @errors invalid, id "config.guest"
[[nodiscard]] Result<GuestConfig> parse_guest_config(std::string_view xml, const std::string& file);

/// @errors as parse_guest_config; denied, io. An absent file is the default.
[[nodiscard]] Result<GuestConfig> load_guest_config(const std::string& file);

}  // namespace stillpoint::linux_guest
