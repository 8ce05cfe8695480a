#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "hooks/hook_file.hpp"
#include "provider/hold_gate.hpp"
#include "serialization/evidence.hpp"
#include "vss/component_plan.hpp"

namespace stillpoint::windows_guest {

inline constexpr std::size_t guest_config_bytes_max = 1u << 20;
inline constexpr const char* guest_config_hook = "guest.xml";  // its hook's name
inline constexpr os::nanoseconds freeze_budget_min = std::chrono::seconds{1};

/// What guest.xml says; the defaults are those of an absent or empty file.
struct GuestConfig {
    os::nanoseconds freeze_budget = hold_limit;     // longest hold, whatever the host asks
    std::optional<serialization::BackupType> type;  // in place of what the host asks for
    WriterChoice writers;
    std::string hooks_folder;           // empty: hooks.d beside guest.xml
    hooks::HookDefaults hook_defaults;  // of the folder's hooks
    std::optional<hooks::Hook> hook;    // the one in guest.xml itself; runs before the others
};

/// Every element and attribute of guest.xml, "element" or "element@attribute": docs/windows.md is
/// tested against it. What <hooks> may hold besides: shared/hooks/hook_file.hpp.
inline constexpr std::array<std::string_view, 16> guest_config_keys{"guest",
                                                                    "freeze",
                                                                    "freeze@budget",
                                                                    "vss",
                                                                    "vss@type",
                                                                    "include",
                                                                    "include@writer",
                                                                    "exclude",
                                                                    "exclude@writer",
                                                                    "hooks",
                                                                    "hooks@dir",
                                                                    "hooks@on-failure",
                                                                    "defaults",
                                                                    "defaults@timeout",
                                                                    "defaults@retries",
                                                                    "defaults@on-failure"};

/// Strict, as a Linux guest's: an unknown element or attribute or a wrong value is an error with
/// file, line and what is accepted instead.
/// @errors invalid, id "config.guest"
[[nodiscard]] Result<GuestConfig> parse_guest_config(std::string_view xml, const std::string& file);

}  // namespace stillpoint::windows_guest
