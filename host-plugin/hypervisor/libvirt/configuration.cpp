#include "hypervisor/libvirt/configuration.hpp"

#include <cstdlib>

#include "hypervisor/libvirt/domain_xml.hpp"
#include "hypervisor/libvirt/facts.hpp"
#include "hypervisor/libvirt/xml.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

using serialization::ConfigurationKind;
using tinyxml2::XMLElement;

ConfigurationPlace nvram_at(const std::string& path) {
    return {.kind = ConfigurationKind::nvram, .path = path};
}

ConfigurationPlace nvram_out_of_reach(const std::string& why) {
    return {.kind = ConfigurationKind::nvram, .obstacle = why};
}

// <nvram>/path</nvram>, or <nvram type='file'><source file='/path'/></nvram> since libvirt 8.5.
ConfigurationPlace read_nvram(const XMLElement* os, const DomainHome& home) {
    const XMLElement* nvram = child(os, "nvram");
    std::string path = child_text(os, "nvram");
    if (path.empty()) path = attribute(child(nvram, "source"), "file");
    if (path.empty()) return nvram_out_of_reach("the UEFI variables are in no local file");
    ConfigurationPlace place = nvram_at(path);
    const std::string format = attribute(nvram, "format");
    if (home.active && !format.empty() && format != "raw") {
        place.obstacle =
            path + " is a " + format + " image, which is whole only while the VM is off";
    }
    return place;
}

std::vector<ConfigurationPlace> nvram_places(const XMLElement* os, const DomainHome& home) {
    if (child(os, "nvram") != nullptr) return {read_nvram(os, home)};
    const XMLElement* loader = child(os, "loader");
    if (attribute(loader, "stateless") == "yes") return {};
    // Firmware and variables in one file, which the guest may write.
    if (attribute(loader, "type") == "pflash" && attribute(loader, "readonly") == "no") {
        return {nvram_at(child_text(os, "loader"))};
    }
    if (attribute(os, "firmware") != "efi") return {};
    return {nvram_out_of_reach("libvirt names no file for the UEFI variables of this VM")};
}

std::string version_folder(const XMLElement* backend) {
    return attribute(backend, "version") == "1.2" ? "tpm1.2" : "tpm2";
}

ConfigurationPlace read_emulated_tpm(const XMLElement* backend, const std::string& uuid,
                                     const DomainHome& home) {
    ConfigurationPlace place{.kind = ConfigurationKind::tpm,
                             .path = home.swtpm_folder / uuid / version_folder(backend),
                             .holds = ConfigurationPlace::Holds::folder};
    // <source type='file'|'dir' path='…'/> since libvirt 10.10.
    const XMLElement* source = child(backend, "source");
    const std::string path = attribute(source, "path");
    if (!path.empty()) place.path = path;
    if (attribute(source, "type") == "file") place.holds = ConfigurationPlace::Holds::file;
    const std::string secret = attribute(child(backend, "encryption"), "secret");
    if (!secret.empty()) {
        place.note = "encrypted with libvirt's secret " + secret + ", which is not taken";
    }
    return place;
}

ConfigurationPlace read_tpm(const XMLElement* tpm, const std::string& uuid,
                            const DomainHome& home) {
    const XMLElement* backend = child(tpm, "backend");
    const std::string type = attribute(backend, "type");
    if (type == "emulator") return read_emulated_tpm(backend, uuid, home);
    ConfigurationPlace place{.kind = ConfigurationKind::tpm};
    place.obstacle = type == "passthrough"
                         ? "the TPM is a device of this host, which keeps its state to itself"
                         : "the TPM's state is kept by a program that libvirt does not run";
    return place;
}

env::Path user_folder() {
    const char* given = std::getenv("XDG_CONFIG_HOME");
    if (given != nullptr && *given == '/') return given;
    const char* home = std::getenv("HOME");
    return home == nullptr ? env::Path{} : env::Path{home} / ".config";
}

}  // namespace

env::Path swtpm_folder_of(const std::string& uri, const env::Path& user_folder) {
    const std::string path = uri.substr(0, uri.find('?'));
    if (path.ends_with("/session")) return user_folder / "libvirt/qemu/swtpm";
    return "/var/lib/libvirt/swtpm";
}

Result<std::vector<ConfigurationPlace>> configuration_places(const std::string& xml,
                                                             const DomainHome& home) {
    tinyxml2::XMLDocument document;
    SP_TRY(load_domain(document, xml));
    const XMLElement* root = document.RootElement();
    std::vector<ConfigurationPlace> places = nvram_places(child(root, "os"), home);
    const XMLElement* devices = child(root, "devices");
    for (const XMLElement* tpm = child(devices, "tpm"); tpm != nullptr;
         tpm = tpm->NextSiblingElement("tpm")) {
        if (attribute(tpm, "model") == "spapr-tpm-proxy") continue;  // another device's front
        places.push_back(read_tpm(tpm, child_text(root, "uuid"), home));
    }
    return places;
}

Result<Configuration> read_configuration(virDomainPtr domain, const std::string& uri) {
    SP_ASSIGN(const std::string live, xml_of(domain, 0));
    SP_ASSIGN(const std::string inactive, xml_of(domain, VIR_DOMAIN_XML_INACTIVE));
    const DomainHome home{.active = virDomainIsActive(domain) != 0,
                          .swtpm_folder = swtpm_folder_of(uri, user_folder())};
    Configuration configuration;
    SP_ASSIGN(configuration.definition, definition_from(live, inactive));
    SP_ASSIGN(configuration.places, configuration_places(live, home));
    return configuration;
}

}  // namespace stillpoint::hypervisor::libvirt
