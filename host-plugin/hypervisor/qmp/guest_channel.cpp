#include "hypervisor/qmp/vm.hpp"

namespace stillpoint::hypervisor::qmp {
namespace {

using serialization::Map;
using serialization::Value;

/// A property as text; empty when the object has none.
Result<std::string> text_property(QmpClient& client, const std::string& path, const char* property,
                                  const env::Deadline& deadline) {
    const auto value =
        client.execute("qom-get", Map{{"path", path}, {"property", property}}, deadline);
    if (!value && !is_refusal(value.error())) return fail(value.error());
    return value && value->text() != nullptr ? *value->text() : std::string{};
}

/// Label of the character device behind the port; empty: the folder has no such port.
Result<std::string> chardev_of_port(QmpClient& client, const std::string& folder,
                                    const std::string& port, const env::Deadline& deadline) {
    const auto children = client.execute("qom-list", Map{{"path", folder}}, deadline);
    if (!children && is_refusal(children.error())) return std::string{};  // a storage daemon
    if (!children) return fail(children.error());
    for (const Value& child : elements(*children)) {
        if (child.text_or("type") != "child<virtserialport>") continue;
        const std::string path = folder + "/" + child.text_or("name");
        SP_ASSIGN(const std::string name, text_property(client, path, "name", deadline));
        if (name == port) return text_property(client, path, "chardev", deadline);
    }
    return std::string{};
}

// "disconnected:unix:/run/x.sock,server=on" or "unix:/run/x.sock,server=on" -> "/run/x.sock"
std::string unix_path(const std::string& filename) {
    const std::string marker = "unix:";
    const auto at = filename.find(marker);
    if (at == std::string::npos) return {};
    const auto from = at + marker.size();
    return filename.substr(from, filename.find(",server", from) - from);
}

}  // namespace

Result<std::string> find_guest_channel(QmpClient& client, const std::string& port,
                                       const env::Deadline& deadline) {
    std::string label;
    for (const char* folder : {"/machine/peripheral", "/machine/peripheral-anon"}) {
        SP_ASSIGN(label, chardev_of_port(client, folder, port, deadline));
        if (!label.empty()) break;
    }
    if (label.empty()) return std::string{};
    SP_ASSIGN(const Value chardevs, client.execute("query-chardev", {}, deadline));
    for (const Value& chardev : elements(chardevs)) {
        if (chardev.text_or("label") == label) return unix_path(chardev.text_or("filename"));
    }
    return std::string{};
}

}  // namespace stillpoint::hypervisor::qmp
