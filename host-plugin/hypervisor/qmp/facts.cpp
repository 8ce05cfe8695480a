#include "hypervisor/qmp/facts.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace stillpoint::hypervisor::qmp {
namespace {

using serialization::Array;
using serialization::Map;
using serialization::Value;

// A guest's writes pass through these unchanged: bitmaps belong on what is below.
constexpr std::array filter_drivers{"copy-before-write", "copy-on-read", "throttle",  "compress",
                                    "preallocate",       "mirror_top",   "commit_top"};
// Deeper than any sane stack of filters; ends a loop in a graph we misread.
constexpr int filters_max = 16;

tl::unexpected<Error> unexpected(const std::string& what) {
    return fail(Errc::corrupt, "qmp.unexpected", "QEMU answered " + what + " in an unknown shape");
}

bool is_filter(const std::string& driver) {
    return std::find(filter_drivers.begin(), filter_drivers.end(), driver) != filter_drivers.end();
}

BitmapState state_of(const Value& bitmap) {
    if (bitmap.boolean_or("inconsistent", false)) return BitmapState::inconsistent;
    return bitmap.boolean_or("recording", false) ? BitmapState::usable : BitmapState::disabled;
}

std::vector<BitmapInfo> read_bitmaps(const Value& node) {
    std::vector<BitmapInfo> bitmaps;
    const Value* list = node.find("dirty-bitmaps");
    if (list == nullptr) return bitmaps;
    for (const Value& entry : elements(*list)) {
        BitmapInfo info;
        info.name = entry.text_or("name");
        info.persistent = entry.boolean_or("persistent", false);
        info.granularity_bytes = static_cast<std::uint32_t>(
            std::clamp<std::int64_t>(entry.integer_or("granularity", 0), 0, 1 << 30));
        info.state = state_of(entry);
        if (!info.name.empty()) bitmaps.push_back(std::move(info));
    }
    return bitmaps;
}

bool holds_persistent_bitmaps(const Value& node, const Value& image) {
    if (node.text_or("drv") != "qcow2" || node.boolean_or("ro", false)) return false;
    const Value* specific = image.find("format-specific");
    const Value* data = specific == nullptr ? nullptr : specific->find("data");
    return data != nullptr && data->text_or("compat") != "0.10";
}

/// Who is whose child, by node name.
class Graph {
public:
    explicit Graph(const Value& answer) {
        const Value* nodes = answer.find("nodes");
        const Value* edges = answer.find("edges");
        if (nodes == nullptr || edges == nullptr) return;
        std::map<std::int64_t, std::string> names;
        for (const Value& node : elements(*nodes)) {
            names[node.integer_or("id", -1)] = node.text_or("name");
        }
        for (const Value& edge : elements(*edges)) {
            const std::string& child = names[edge.integer_or("child", -1)];
            children_[names[edge.integer_or("parent", -1)]][edge.text_or("name")] = child;
            used_.insert(child);
        }
    }
    // "file" for filters that users make, "backing" for those of mirror and commit jobs.
    [[nodiscard]] std::string below(const std::string& node) const {
        const auto found = children_.find(node);
        if (found == children_.end()) return {};
        for (const char* edge : {"file", "backing"}) {
            if (const auto child = found->second.find(edge); child != found->second.end()) {
                return child->second;
            }
        }
        return {};
    }
    [[nodiscard]] bool used(const std::string& node) const { return used_.contains(node); }

private:
    std::map<std::string, std::map<std::string, std::string>> children_;
    std::set<std::string> used_;
};

// A raw node over a qcow2 one of the same size is a place to put filters, not a format: bitmaps
// and their offsets are the qcow2 node's. With a window (offset, size) the offsets would differ.
bool passes_through(const NodeFacts& upper, const NodeFacts& lower) {
    if (is_filter(upper.driver)) return true;
    return upper.driver == "raw" && lower.driver == "qcow2" && upper.size == lower.size;
}

NodeFacts active_layer(const std::string& root, const Nodes& nodes, const Graph& graph) {
    auto node = nodes.find(root);
    if (node == nodes.end()) {
        NodeFacts unknown;
        unknown.name = root;
        return unknown;
    }
    for (int depth = 0; depth < filters_max; ++depth) {
        const auto below = nodes.find(graph.below(node->first));
        if (below == nodes.end() || !passes_through(node->second, below->second)) break;
        node = below;
    }
    return node->second;
}

std::string disk_name(const std::string& qdev, const std::string& drive, const std::string& node) {
    const std::string with_id = "/machine/peripheral/";
    if (qdev.starts_with(with_id)) {
        return qdev.substr(with_id.size(), qdev.find('/', with_id.size()) - with_id.size());
    }
    if (!qdev.empty() && qdev.front() != '/') return qdev;
    return drive.empty() ? node : drive;
}

std::vector<DeviceFacts> guest_devices(const Array& block, const Nodes& nodes, const Graph& graph) {
    std::vector<DeviceFacts> devices;
    for (const Value& entry : block) {
        const Value* inserted = entry.find("inserted");
        DeviceFacts device;
        device.qdev = entry.text_or("qdev");
        if (inserted == nullptr || device.qdev.empty()) continue;
        device.root = inserted->text_or("node-name");
        device.disk = disk_name(device.qdev, entry.text_or("device"), device.root);
        device.device_path = qom_path_of(device.qdev);
        device.source = active_layer(device.root, nodes, graph);
        devices.push_back(std::move(device));
    }
    return devices;
}

std::vector<DeviceFacts> unused_nodes(const Nodes& nodes, const Graph& graph) {
    std::vector<DeviceFacts> devices;
    for (const auto& [name, node] : nodes) {
        if (graph.used(name)) continue;
        DeviceFacts device;
        device.disk = name;
        device.root = name;
        device.source = active_layer(name, nodes, graph);
        devices.push_back(std::move(device));
    }
    return devices;
}

Status check_names(const std::vector<DeviceFacts>& devices) {
    std::set<std::string> seen;
    for (const DeviceFacts& device : devices) {
        if (seen.insert(device.disk).second) continue;
        return fail(Errc::invalid, "qmp.ambiguous_disk",
                    "two disks of the VM are called " + device.disk,
                    "give each -device its own id=");
    }
    return {};
}

}  // namespace

Result<Nodes> read_nodes(const Value& answer) {
    if (answer.array() == nullptr) return unexpected("query-named-block-nodes");
    Nodes nodes;
    for (const Value& entry : elements(answer)) {
        const Value* image = entry.find("image");
        if (image == nullptr) return unexpected("query-named-block-nodes");
        NodeFacts node;
        node.name = entry.text_or("node-name");
        node.driver = entry.text_or("drv");
        node.filename = image->text_or("filename");
        const std::int64_t size = image->integer_or("virtual-size", -1);
        if (size < 0) return unexpected("the size of node " + node.name);
        node.size = ByteCount{static_cast<std::uint64_t>(size)};
        node.read_only = entry.boolean_or("ro", false);
        node.persistent_bitmaps = holds_persistent_bitmaps(entry, *image);
        node.bitmaps = read_bitmaps(entry);
        nodes.emplace(node.name, std::move(node));
    }
    return nodes;
}

const Array& elements(const Value& answer) {
    static const Array none;
    const Array* list = answer.array();
    return list == nullptr ? none : *list;
}

std::string file_child(const Value& graph, const std::string& node) {
    return Graph{graph}.below(node);
}

std::string qom_path_of(const std::string& qdev) {
    const std::string backend = "/virtio-backend";
    if (qdev.empty()) return {};
    if (qdev.front() != '/') return "/machine/peripheral/" + qdev;
    if (qdev.ends_with(backend)) return qdev.substr(0, qdev.size() - backend.size());
    return qdev;
}

Result<std::vector<DeviceFacts>> read_devices(const BlockAnswers& answers) {
    const Array* block = answers.block.array();
    if (block == nullptr) return unexpected("query-block");
    SP_ASSIGN(const Nodes nodes, read_nodes(answers.nodes));
    const Graph graph{answers.graph};
    auto devices =
        block->empty() ? unused_nodes(nodes, graph) : guest_devices(*block, nodes, graph);
    SP_TRY(check_names(devices));
    return devices;
}

}  // namespace stillpoint::hypervisor::qmp
