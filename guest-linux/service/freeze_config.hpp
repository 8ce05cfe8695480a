#pragma once
#include "hooks/strict_xml.hpp"
#include "service/guest_config.hpp"

namespace stillpoint::linux_guest {

/// Reads <freeze> of guest.xml: budgets, mode, and which filesystems to include and exclude.
/// @errors as StrictXml
[[nodiscard]] Status read_freeze_config(const StrictXml& xml, const tinyxml2::XMLElement& freeze,
                                        GuestConfig& config);

}  // namespace stillpoint::linux_guest
