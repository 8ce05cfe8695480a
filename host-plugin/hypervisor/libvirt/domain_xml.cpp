#include "hypervisor/libvirt/domain_xml.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "hypervisor/libvirt/xml.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

using tinyxml2::XMLDocument;
using tinyxml2::XMLElement;

constexpr std::string_view guest_port = "org.stillpoint.guest.0";
constexpr int backing_layers_max = 200;  // QEMU's own practical limit is far below

bool has_child(const XMLElement* element, const char* name) {
    return child(element, name) != nullptr;
}

template <class Int>
std::optional<Int> number(std::string_view text) {
    Int value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

void read_source(const XMLElement* source, DomainDisk& disk) {
    for (const char* local : {"file", "dev", "dir"}) {
        if (disk.path.empty()) disk.path = attribute(source, local);
    }
    disk.local_path = !disk.path.empty();
    if (disk.local_path || source == nullptr) return;
    const std::string volume = attribute(source, "volume");
    disk.path = volume.empty() ? attribute(source, "protocol") + ":" + attribute(source, "name")
                               : attribute(source, "pool") + "/" + volume;
}

// Layers of a live disk: <source index='2'> of the disk itself, then of each <backingStore>.
std::vector<int> read_layers(const XMLElement* disk) {
    std::vector<int> layers;
    for (const XMLElement* layer = disk; layer != nullptr && layers.size() < backing_layers_max;
         layer = layer->FirstChildElement("backingStore")) {
        const auto index = number<int>(attribute(layer->FirstChildElement("source"), "index"));
        if (!index) break;
        layers.push_back(*index);
    }
    return layers;
}

std::optional<DomainDisk> read_disk(const XMLElement* element) {
    // No device attribute means a disk; CD-ROMs and floppies are no part of a backup.
    const std::string device = attribute(element, "device");
    if (!device.empty() && device != "disk" && device != "lun") return std::nullopt;
    DomainDisk disk;
    disk.name = attribute(element->FirstChildElement("target"), "dev");
    disk.format = attribute(element->FirstChildElement("driver"), "type");
    if (disk.format.empty()) disk.format = "raw";
    disk.serial = child_text(element, "serial");
    disk.read_only = element->FirstChildElement("readonly") != nullptr;
    disk.block_job = element->FirstChildElement("mirror") != nullptr;
    const XMLElement* source = element->FirstChildElement("source");
    disk.encrypted = has_child(element, "encryption") || has_child(source, "encryption");
    disk.sliced = has_child(source, "slices");
    disk.layer_indexes = read_layers(element);
    read_source(source, disk);
    return disk;
}

std::string read_guest_channel(const XMLElement* devices) {
    for (const XMLElement* channel = devices->FirstChildElement("channel"); channel != nullptr;
         channel = channel->NextSiblingElement("channel")) {
        const XMLElement* target = channel->FirstChildElement("target");
        if (attribute(target, "name") == guest_port) {
            return attribute(channel->FirstChildElement("source"), "path");
        }
    }
    return {};
}

// <seclabel model='dac'><label>+64055:+107</label>: the numbers QEMU runs as.
std::optional<env::Peer> read_qemu_user(const XMLElement* root) {
    for (const XMLElement* label = root->FirstChildElement("seclabel"); label != nullptr;
         label = label->NextSiblingElement("seclabel")) {
        if (attribute(label, "model") != "dac") continue;
        const std::string text = child_text(label, "label");
        const auto colon = text.find(':');
        if (text.empty() || text[0] != '+' || colon == std::string::npos) continue;
        const auto user = number<uid_t>(std::string_view{text}.substr(1, colon - 1));
        const auto group_at = text.find_first_not_of('+', colon + 1);
        if (group_at == std::string::npos) continue;
        const auto group = number<gid_t>(std::string_view{text}.substr(group_at));
        if (user && group)
            return env::Peer{.pid = 0, .uid = *user, .gid = *group, .user = std::to_string(*user)};
    }
    return std::nullopt;
}

bool names_all_disks(const DomainXml& whole, const DomainXml& part) {
    return std::all_of(part.disks.begin(), part.disks.end(), [&](const DomainDisk& wanted) {
        return std::any_of(whole.disks.begin(), whole.disks.end(), [&](const DomainDisk& disk) {
            return disk.name == wanted.name && disk.path == wanted.path;
        });
    });
}

}  // namespace

Result<DomainXml> parse_domain(const std::string& xml) {
    XMLDocument document;
    SP_TRY(load_domain(document, xml));
    const XMLElement* root = document.RootElement();
    const XMLElement* devices = root->FirstChildElement("devices");
    DomainXml domain;
    domain.name = child_text(root, "name");
    domain.uuid = child_text(root, "uuid");
    domain.guest_channel = read_guest_channel(devices);
    domain.qemu_user = read_qemu_user(root);
    for (const XMLElement* element = devices->FirstChildElement("disk"); element != nullptr;
         element = element->NextSiblingElement("disk")) {
        if (auto disk = read_disk(element)) domain.disks.push_back(std::move(*disk));
    }
    return domain;
}

Result<std::string> definition_from(const std::string& live, const std::string& inactive) {
    SP_ASSIGN(const DomainXml live_domain, parse_domain(live));
    SP_ASSIGN(const DomainXml inactive_domain, parse_domain(inactive));
    if (names_all_disks(inactive_domain, live_domain)) return inactive;
    XMLDocument document;
    SP_TRY(load_domain(document, live));
    XMLElement* devices = document.RootElement()->FirstChildElement("devices");
    for (XMLElement* disk = devices->FirstChildElement("disk"); disk != nullptr;
         disk = disk->NextSiblingElement("disk")) {
        if (XMLElement* chain = disk->FirstChildElement("backingStore")) disk->DeleteChild(chain);
    }
    tinyxml2::XMLPrinter printer;
    document.Print(&printer);
    return std::string{printer.CStr()};
}

}  // namespace stillpoint::hypervisor::libvirt
