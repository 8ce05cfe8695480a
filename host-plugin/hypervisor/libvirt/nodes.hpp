#pragma once
#include <map>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"

namespace stillpoint::hypervisor::libvirt {

/// A bitmap as QEMU reports it, whoever made it.
struct NodeBitmap {
    std::string name;
    bool recording = false;
    bool persistent = false;
    bool inconsistent = false;
    std::uint32_t granularity_bytes = 0;
};

/// A block node of a running QEMU.
struct Node {
    std::string name;
    ByteCount virtual_size;
    bool holds_bitmaps = false;  // qcow2 of version 3: persistent bitmaps fit in
    std::vector<NodeBitmap> bitmaps;
};

using Nodes = std::map<std::string, Node>;

/// Pure: reads the answer of query-named-block-nodes. @errors corrupt, id "qemu.answer"
[[nodiscard]] Result<Nodes> parse_nodes(const std::string& answer);

/// @return libvirt's node of the layer with this index, or null
[[nodiscard]] const Node* find_layer(const Nodes& nodes, int index);

/// Pure: bitmaps of ours on the active layer (`layers[0]`). One that an older layer holds as well
/// (libvirt carries bitmaps over to a new overlay) is usable only when every layer's part is.
[[nodiscard]] std::vector<BitmapInfo> bitmaps_of_ours(const Nodes& nodes,
                                                      const std::vector<int>& layers);

/// Every name we give starts so; others are foreign and never touched.
[[nodiscard]] bool is_ours(const std::string& bitmap);

}  // namespace stillpoint::hypervisor::libvirt
