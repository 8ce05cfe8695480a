#include "hypervisor/libvirt/nodes.hpp"

#include <algorithm>
#include <utility>

namespace stillpoint::hypervisor::libvirt {
namespace {

using serialization::Array;
using serialization::Value;

std::vector<NodeBitmap> read_bitmaps(const Value& node) {
    std::vector<NodeBitmap> bitmaps;
    const Value* list = node.find("dirty-bitmaps");
    if (list == nullptr || list->array() == nullptr) return bitmaps;
    for (const Value& item : *list->array()) {
        NodeBitmap bitmap;
        bitmap.name = item.text_or("name");
        bitmap.recording = item.boolean_or("recording", false);
        bitmap.persistent = item.boolean_or("persistent", false);
        bitmap.inconsistent = item.boolean_or("inconsistent", false);
        const auto granularity = item.integer_or("granularity", 0);
        if (std::in_range<std::uint32_t>(granularity)) {
            bitmap.granularity_bytes = static_cast<std::uint32_t>(granularity);
        }
        if (!bitmap.name.empty()) bitmaps.push_back(std::move(bitmap));
    }
    return bitmaps;
}

bool is_qcow2_version_3(const Value& image) {
    const Value* specific = image.find("format-specific");
    const Value* data = specific == nullptr ? nullptr : specific->find("data");
    return image.text_or("format") == "qcow2" && data != nullptr &&
           data->text_or("compat") == "1.1";
}

Result<Node> read_node(const Value& value) {
    Node node;
    node.name = value.text_or("node-name");
    const Value* image = value.find("image");
    if (image == nullptr) return node;
    const auto size = image->integer_or("virtual-size", -1);
    if (size < 0) {
        return fail(Errc::corrupt, "qemu.answer", "QEMU says no size of node " + node.name);
    }
    node.virtual_size = ByteCount{static_cast<std::uint64_t>(size)};
    node.holds_bitmaps = is_qcow2_version_3(*image);
    node.bitmaps = read_bitmaps(value);
    return node;
}

const NodeBitmap* find_bitmap(const Node& node, const std::string& name) {
    const auto found = std::find_if(node.bitmaps.begin(), node.bitmaps.end(),
                                    [&](const NodeBitmap& bitmap) { return bitmap.name == name; });
    return found == node.bitmaps.end() ? nullptr : &*found;
}

// libvirt merges a bitmap only while it records, is stored in the image and was stored whole. Where
// the image can store none, ours live as long as QEMU.
BitmapState state_of(const Node& node, const NodeBitmap& bitmap) {
    const bool kept = bitmap.persistent || !node.holds_bitmaps;
    if (bitmap.inconsistent || !kept || bitmap.granularity_bytes == 0) {
        return BitmapState::inconsistent;
    }
    return bitmap.recording ? BitmapState::usable : BitmapState::disabled;
}

}  // namespace

Result<Nodes> parse_nodes(const std::string& answer) {
    SP_ASSIGN(const Value document, serialization::parse_json(answer));
    const Value* list = document.find("return");
    if (list == nullptr || list->array() == nullptr) {
        return fail(Errc::corrupt, "qemu.answer",
                    "query-named-block-nodes was answered with no list");
    }
    Nodes nodes;
    for (const Value& item : *list->array()) {
        SP_ASSIGN(Node node, read_node(item));
        std::string name = node.name;
        nodes.insert_or_assign(std::move(name), std::move(node));
    }
    return nodes;
}

const Node* find_layer(const Nodes& nodes, int index) {
    // Newer libvirt leaves out the format node of raw images.
    for (const char* kind : {"-format", "-storage"}) {
        const auto found = nodes.find("libvirt-" + std::to_string(index) + kind);
        if (found != nodes.end()) return &found->second;
    }
    return nullptr;
}

std::vector<BitmapInfo> bitmaps_of_ours(const Nodes& nodes, const std::vector<int>& layers) {
    std::vector<BitmapInfo> infos;
    const Node* active = layers.empty() ? nullptr : find_layer(nodes, layers.front());
    if (active == nullptr) return infos;
    for (const NodeBitmap& bitmap : active->bitmaps) {
        if (!is_ours(bitmap.name)) continue;
        // The worst of the layers' parts: libvirt merges them all.
        BitmapState state = BitmapState::usable;
        for (const int index : layers) {
            const Node* layer = find_layer(nodes, index);
            const NodeBitmap* part = layer == nullptr ? nullptr : find_bitmap(*layer, bitmap.name);
            if (part != nullptr && state == BitmapState::usable) state = state_of(*layer, *part);
        }
        infos.push_back({.name = bitmap.name,
                         .state = state,
                         .persistent = bitmap.persistent,
                         .granularity_bytes = bitmap.granularity_bytes});
    }
    return infos;
}

bool is_ours(const std::string& bitmap) {
    return bitmap.starts_with("stillpoint-");
}

}  // namespace stillpoint::hypervisor::libvirt
