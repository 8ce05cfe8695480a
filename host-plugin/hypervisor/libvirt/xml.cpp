#include "hypervisor/libvirt/xml.hpp"

#include <string_view>

namespace stillpoint::hypervisor::libvirt {

using tinyxml2::XMLDocument;
using tinyxml2::XMLElement;

std::string attribute(const XMLElement* element, const char* name) {
    const char* value = element == nullptr ? nullptr : element->Attribute(name);
    return value == nullptr ? "" : value;
}

const XMLElement* child(const XMLElement* element, const char* name) {
    return element == nullptr ? nullptr : element->FirstChildElement(name);
}

std::string child_text(const XMLElement* parent, const char* name) {
    const XMLElement* found = child(parent, name);
    const char* text = found == nullptr ? nullptr : found->GetText();
    return text == nullptr ? "" : text;
}

Status load_domain(XMLDocument& document, const std::string& xml) {
    document.Parse(xml.data(), xml.size());
    const XMLElement* root = document.Error() ? nullptr : document.RootElement();
    if (root != nullptr && std::string_view{root->Name()} == "domain" &&
        root->FirstChildElement("devices") != nullptr) {
        return {};
    }
    const std::string why = document.Error() ? document.ErrorStr() : "no <domain> with <devices>";
    return fail(Errc::corrupt, "libvirt.xml", "libvirt's domain XML cannot be read: " + why);
}

}  // namespace stillpoint::hypervisor::libvirt
