#include "hypervisor/libvirt/monitor.hpp"

#include <libvirt/libvirt-qemu.h>

namespace stillpoint::hypervisor::libvirt {
namespace {

using serialization::Map;
using serialization::Value;

Result<std::string> ask(virDomainPtr domain, const std::string& doing, const Map& command) {
    char* raw = nullptr;
    if (virDomainQemuMonitorCommand(domain, serialization::to_json(command).c_str(), &raw, 0) < 0) {
        return fail(last_error(doing));
    }
    const Text answer{raw};
    return std::string{answer.get()};
}

}  // namespace

Result<Nodes> query_nodes(virDomainPtr domain) {
    SP_ASSIGN(const std::string answer,
              ask(domain, "ask QEMU for its block nodes",
                  {{"execute", "query-named-block-nodes"}, {"arguments", Map{{"flat", true}}}}));
    return parse_nodes(answer);
}

Status run_monitor(virDomainPtr domain, const std::string& doing, const std::string& command,
                   Map arguments) {
    SP_ASSIGN(const std::string text,
              ask(domain, doing, {{"execute", command}, {"arguments", std::move(arguments)}}));
    SP_ASSIGN(const Value answer, serialization::parse_json(text));
    const Value* error = answer.find("error");
    if (error == nullptr) return {};
    return fail(Errc::refused, "qemu.refused",
                doing + ": " + error->text_or("desc", "unknown error"));
}

Status remove_bitmap(virDomainPtr domain, const std::string& node, const std::string& bitmap) {
    Status removed = run_monitor(domain, "remove bitmap " + bitmap + " from node " + node,
                                 "block-dirty-bitmap-remove", {{"node", node}, {"name", bitmap}});
    // A keeper and the next run may both be at it; nobody else knows the name.
    const bool gone = !removed && removed.error().id == "qemu.refused" &&
                      removed.error().text.find("not found") != std::string::npos;
    return gone ? Status{} : removed;
}

}  // namespace stillpoint::hypervisor::libvirt
