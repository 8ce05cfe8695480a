#include "abi/config.hpp"

#include <tinyxml2.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "abi/config_keys.hpp"

namespace stillpoint::abi {
namespace {

tl::unexpected<Error> wrong(const std::string& name, int line, const std::string& what) {
    return fail(Errc::invalid, "config.invalid", name + ":" + std::to_string(line) + ": " + what,
                "see stillpoint-host.xml(5)");
}

std::string known_elements() {
    std::string list = "<vm name>";
    for (const ConfigKey& key : known_keys()) {
        const std::string item = std::string("<") + key.element + " " + key.attribute + ">";
        list += ", " + item;
    }
    return list;
}

Status read_attribute(HostConfig& config, const tinyxml2::XMLElement& element,
                      const tinyxml2::XMLAttribute& attribute, const std::string& name) {
    for (const ConfigKey& key : known_keys()) {
        if (std::strcmp(key.element, element.Name()) != 0 ||
            std::strcmp(key.attribute, attribute.Name()) != 0) {
            continue;
        }
        if (key.set(config, attribute.Value())) return {};
        return wrong(name, element.GetLineNum(),
                     std::string(attribute.Name()) + "=\"" + attribute.Value() +
                         "\" is not accepted; it takes " + key.accepted);
    }
    return wrong(name, element.GetLineNum(),
                 std::string("<") + element.Name() + " " + attribute.Name() +
                     "> is not known; known are " + known_elements());
}

Status read_element(HostConfig& config, const tinyxml2::XMLElement& element,
                    const std::string& name) {
    if (element.FirstAttribute() == nullptr || element.FirstChild() != nullptr) {
        return wrong(name, element.GetLineNum(),
                     std::string("<") + element.Name() +
                         "> takes attributes and no content; known are " + known_elements());
    }
    for (const auto* attribute = element.FirstAttribute(); attribute != nullptr;
         attribute = attribute->Next()) {
        SP_TRY(read_attribute(config, element, *attribute, name));
    }
    return {};
}

/// <vm name="NAME or uuid"><limits …/><retention …/></vm>: what differs for one VM.
Status read_vm(HostConfig& config, const tinyxml2::XMLElement& element, const std::string& name) {
    const char* vm = element.Attribute("name");
    const auto* first = element.FirstAttribute();
    if (vm == nullptr || *vm == '\0' || first->Next() != nullptr) {
        return wrong(name, element.GetLineNum(), "<vm> takes one attribute, name");
    }
    HostConfig own;
    for (const auto* child = element.FirstChildElement(); child != nullptr;
         child = child->NextSiblingElement()) {
        const bool retention = std::strcmp(child->Name(), "retention") == 0;
        if (!retention && std::strcmp(child->Name(), "limits") != 0) {
            return wrong(name, child->GetLineNum(),
                         "<vm> takes <limits> and <retention> and nothing else");
        }
        SP_TRY(read_element(own, *child, name));
        if (retention) config.vm_retention[vm] = own.retention;
    }
    if (config.vms.emplace(vm, own.limits).second) return {};
    return wrong(name, element.GetLineNum(), std::string("<vm name=\"") + vm + "\"> comes twice");
}

/// What a map keyed by name or uuid has of a VM; a name counts first.
template <class T>
const T* own_of(const std::map<std::string, T>& vms, const std::string& name,
                const std::string& uuid) {
    auto own = vms.find(name);
    if (own == vms.end() && !uuid.empty()) own = vms.find(uuid);
    return own == vms.end() ? nullptr : &own->second;
}

}  // namespace

std::optional<vault::DiskCache::Limits> HostConfig::cache_limits() const {
    if (cache_bytes == 0) return std::nullopt;
    env::Path folder = cache_folder;
    const char* given = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    if (folder.empty() && ::geteuid() == 0) folder = "/var/cache/stillpoint";
    if (folder.empty() && given != nullptr && *given == '/')
        folder = env::Path{given} / "stillpoint";
    if (folder.empty() && home != nullptr && *home == '/')
        folder = env::Path{home} / ".cache/stillpoint";
    if (folder.empty()) return std::nullopt;
    return vault::DiskCache::Limits{folder, cache_bytes};
}

ReadLimits HostConfig::limits_of(const std::string& name, const std::string& uuid) const {
    ReadLimits found = limits;
    const ReadLimits* own = own_of(vms, name, uuid);
    if (own == nullptr) return found;
    if (own->bytes_per_second_max) found.bytes_per_second_max = own->bytes_per_second_max;
    if (own->read_ahead) found.read_ahead = own->read_ahead;
    if (own->write_latency_max) found.write_latency_max = own->write_latency_max;
    return found;
}

const serialization::RetentionRules& HostConfig::retention_of(const std::string& name,
                                                              const std::string& uuid) const {
    const serialization::RetentionRules* own = own_of(vm_retention, name, uuid);
    return own == nullptr ? retention : *own;
}

Result<HostConfig> parse_host_config(const std::string& xml, const std::string& name) {
    HostConfig config;
    if (xml.find_first_not_of(" \t\r\n") == std::string::npos) return config;
    tinyxml2::XMLDocument document;
    if (document.Parse(xml.data(), xml.size()) != tinyxml2::XML_SUCCESS) {
        return wrong(name, document.ErrorLineNum(), "not well-formed XML");
    }
    const tinyxml2::XMLElement* root = document.RootElement();
    if (root == nullptr || std::strcmp(root->Name(), "host") != 0 ||
        root->FirstAttribute() != nullptr) {
        return wrong(name, root != nullptr ? root->GetLineNum() : 1,
                     "the outermost element must be <host>");
    }
    for (const auto* element = root->FirstChildElement(); element != nullptr;
         element = element->NextSiblingElement()) {
        const bool is_vm = std::strcmp(element->Name(), "vm") == 0;
        SP_TRY(is_vm ? read_vm(config, *element, name) : read_element(config, *element, name));
    }
    return config;
}

}  // namespace stillpoint::abi
