#pragma once
#include <map>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"
#include "serialization/value.hpp"

/// What QEMU says about its disks, read purely.
namespace stillpoint::hypervisor::qmp {

/// A block node that a bitmap can live on.
struct NodeFacts {
    std::string name;
    std::string driver;
    std::string filename;
    ByteCount size;
    bool read_only = false;
    bool persistent_bitmaps = false;  // qcow2 of version 3, opened for writing
    std::vector<BitmapInfo> bitmaps;  // all of them, also those of others
};

/// A disk as the guest sees it and the nodes below it.
struct DeviceFacts {
    std::string disk;         // the name we show: qdev id, else drive name, else node name
    std::string qdev;         // as query-block says; empty: no guest device (storage daemon)
    std::string device_path;  // QOM path that has a settable `drive`; empty: none
    std::string root;         // node the device sits on
    NodeFacts source;         // the active layer: root, or what is below its filters
    std::string iothread;     // QOM path of the iothread it runs in; empty: QEMU's main loop
};

using Nodes = std::map<std::string, NodeFacts>;  // by node name

/// @errors corrupt, id "qmp.unexpected"
[[nodiscard]] Result<Nodes> read_nodes(const serialization::Value& query_named_block_nodes);

/// The answers that disks are read from.
struct BlockAnswers {
    serialization::Value block;  // query-block
    serialization::Value nodes;  // query-named-block-nodes, flat
    serialization::Value graph;  // x-debug-query-block-graph; null: not to be had
};

/// Guest disks in the order of query-block; drives without medium or device are left out. Where
/// query-block is empty (storage daemon), every node that nothing else uses is a disk.
/// @errors corrupt, id "qmp.unexpected": an answer of another shape ·
///         invalid, id "qmp.ambiguous_disk": two disks of one name
[[nodiscard]] Result<std::vector<DeviceFacts>> read_devices(const BlockAnswers& answers);

/// The node below another by an edge called "file"; empty: none.
[[nodiscard]] std::string file_child(const serialization::Value& graph, const std::string& node);

/// The elements of an answer that should be a list; none when it is not.
[[nodiscard]] const serialization::Array& elements(const serialization::Value& answer);

/// QOM path of a device from query-block's `qdev`: an id, or the path of the device or its backend.
[[nodiscard]] std::string qom_path_of(const std::string& qdev);

}  // namespace stillpoint::hypervisor::qmp
