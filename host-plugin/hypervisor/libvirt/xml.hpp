#pragma once
#include <tinyxml2.h>

#include <string>

#include "base/result.hpp"

/// Small questions to libvirt's XML. Pure.
namespace stillpoint::hypervisor::libvirt {

/// @return "" for a missing element or attribute
[[nodiscard]] std::string attribute(const tinyxml2::XMLElement* element, const char* name);
/// @return the text of a child element; "" where there is none
[[nodiscard]] std::string child_text(const tinyxml2::XMLElement* parent, const char* name);
[[nodiscard]] const tinyxml2::XMLElement* child(const tinyxml2::XMLElement* element,
                                                const char* name);
/// Parses a domain's XML. @errors corrupt, id "libvirt.xml": no <domain> with <devices>
[[nodiscard]] Status load_domain(tinyxml2::XMLDocument& document, const std::string& xml);

}  // namespace stillpoint::hypervisor::libvirt
