#include "hypervisor/qmp/ask.hpp"

#include <algorithm>

namespace stillpoint::hypervisor::qmp {
namespace {

using serialization::Array;
using serialization::Map;
using serialization::Value;

Result<Nodes> ask_nodes(QmpClient& client, const env::Deadline& deadline) {
    SP_ASSIGN(const Value answer,
              client.execute("query-named-block-nodes", Map{{"flat", true}}, deadline));
    return read_nodes(answer);
}

bool needs_graph(const Value& block) {
    const Array& devices = elements(block);
    if (devices.empty()) return true;
    return std::any_of(devices.begin(), devices.end(), [](const Value& entry) {
        const Value* inserted = entry.find("inserted");
        return inserted != nullptr && inserted->text_or("drv") != "qcow2";
    });
}

}  // namespace

Result<BlockAnswers> ask_blocks(QmpClient& client, const env::Deadline& deadline) {
    BlockAnswers answers;
    SP_ASSIGN(answers.block, client.execute("query-block", {}, deadline));
    SP_ASSIGN(answers.nodes,
              client.execute("query-named-block-nodes", Map{{"flat", true}}, deadline));
    if (!needs_graph(answers.block)) return answers;
    // Without the graph (an x-debug command) filters hide the active layer: its bitmaps are then
    // not found and the disk is read in full, which is slow but never wrong.
    auto graph = client.execute("x-debug-query-block-graph", {}, deadline);
    if (graph) {
        answers.graph = std::move(*graph);
    } else if (graph.error().code != Errc::unsupported) {
        return fail(graph.error());
    }
    return answers;
}

Result<std::map<std::string, std::vector<BitmapInfo>>> ask_bitmaps(QmpClient& client,
                                                                   const env::Deadline& deadline) {
    SP_ASSIGN(const Nodes nodes, ask_nodes(client, deadline));
    std::map<std::string, std::vector<BitmapInfo>> bitmaps;
    for (const auto& [name, node] : nodes) bitmaps[name] = node.bitmaps;
    return bitmaps;
}

Result<std::map<std::string, std::string>> ask_roots(QmpClient& client,
                                                     const env::Deadline& deadline) {
    SP_ASSIGN(const Value answer, client.execute("query-block", {}, deadline));
    std::map<std::string, std::string> roots;
    for (const Value& entry : elements(answer)) {
        const Value* inserted = entry.find("inserted");
        if (inserted != nullptr) roots[entry.text_or("qdev")] = inserted->text_or("node-name");
    }
    return roots;
}

Result<std::set<std::string>> ask_node_names(QmpClient& client, const env::Deadline& deadline) {
    SP_ASSIGN(const Nodes nodes, ask_nodes(client, deadline));
    std::set<std::string> names;
    for (const auto& [name, node] : nodes) names.insert(name);
    return names;
}

namespace {

/// A property; null where the object has none.
Result<Value> ask_property(QmpClient& client, const std::string& path, const char* property,
                           const env::Deadline& deadline) {
    auto value = client.execute("qom-get", Map{{"path", path}, {"property", property}}, deadline);
    if (!value && is_refusal(value.error())) return Value{};
    return value;
}

std::string text_of(const Value& value) {
    return value.text() == nullptr ? std::string{} : *value.text();
}

/// virtio-blk has the iothread itself, a SCSI disk has that of its controller.
Result<std::string> ask_iothread(QmpClient& client, const std::string& device,
                                 const env::Deadline& deadline) {
    SP_ASSIGN(const Value own, ask_property(client, device, "iothread", deadline));
    if (own.text() != nullptr) return *own.text();
    SP_ASSIGN(const Value bus, ask_property(client, device, "parent_bus", deadline));
    const std::string controller = text_of(bus).substr(0, text_of(bus).rfind('/'));
    if (controller.empty()) return std::string{};
    SP_ASSIGN(const Value theirs, ask_property(client, controller, "iothread", deadline));
    return text_of(theirs);
}

Result<bool> has_iothreads(QmpClient& client, const env::Deadline& deadline) {
    const auto threads = client.execute("query-iothreads", {}, deadline);
    if (!threads && !is_refusal(threads.error())) return fail(threads.error());
    return threads && !elements(*threads).empty();
}

/// Only the machine itself has flash, never a -device.
Result<bool> is_flash_chip(QmpClient& client, const DeviceFacts& device,
                           const env::Deadline& deadline) {
    const bool of_the_machine = device.device_path.starts_with("/machine/") &&
                                !device.device_path.starts_with("/machine/peripheral");
    if (!of_the_machine) return false;
    SP_ASSIGN(const Value type, ask_property(client, device.device_path, "type", deadline));
    return text_of(type).starts_with("cfi.pflash");
}

enum class Chosen { disks, flash_chips };

Result<std::vector<DeviceFacts>> choose(QmpClient& client, Chosen chosen,
                                        const env::Deadline& deadline) {
    SP_ASSIGN(const BlockAnswers answers, ask_blocks(client, deadline));
    SP_ASSIGN(auto devices, read_devices(answers));
    std::vector<DeviceFacts> found;
    for (DeviceFacts& device : devices) {
        SP_ASSIGN(const bool flash, is_flash_chip(client, device, deadline));
        if (flash == (chosen == Chosen::flash_chips)) found.push_back(std::move(device));
    }
    return found;
}

}  // namespace

Result<std::vector<DeviceFacts>> ask_flash_chips(QmpClient& client, const env::Deadline& deadline) {
    return choose(client, Chosen::flash_chips, deadline);
}

Result<std::vector<DeviceFacts>> ask_devices(QmpClient& client, const env::Deadline& deadline) {
    SP_ASSIGN(auto devices, choose(client, Chosen::disks, deadline));
    SP_ASSIGN(const bool threads, has_iothreads(client, deadline));
    for (DeviceFacts& device : devices) {
        if (device.device_path.empty()) continue;
        if (threads) {
            SP_ASSIGN(device.iothread, ask_iothread(client, device.device_path, deadline));
        }
        SP_ASSIGN(const Value drive, ask_property(client, device.device_path, "drive", deadline));
        if (drive.is_null()) device.device_path.clear();
    }
    return devices;
}

Result<GuestWrites> ask_guest_writes(QmpClient& client, const env::Deadline& deadline) {
    SP_ASSIGN(const Value answer, client.execute("query-blockstats", {}, deadline));
    GuestWrites writes;
    for (const Value& device : elements(answer)) {
        const Value* stats = device.find("stats");
        if (stats == nullptr) continue;
        const auto count = stats->integer_or("wr_operations", 0);
        const auto time_ns = stats->integer_or("wr_total_time_ns", 0);
        writes.count += static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0));
        writes.time += env::Nanoseconds{std::max<std::int64_t>(time_ns, 0)};
    }
    return writes;
}

Result<std::string> ask_run_state(QmpClient& client, const env::Deadline& deadline) {
    const auto status = client.execute("query-status", {}, deadline);
    if (!status && status.error().code == Errc::unsupported) return std::string("none");
    if (!status) return fail(status.error());
    return status->text_or("status", "unknown");
}

}  // namespace stillpoint::hypervisor::qmp
