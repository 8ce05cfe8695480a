#pragma once
#include <map>
#include <string>

#include "hypervisor/libvirt/scratch.hpp"
#include "serialization/value.hpp"

namespace stillpoint::hypervisor::libvirt {

/// What a keeper must know to end a snapshot whose owner died.
struct KeeperOrder {
    std::string uri;
    std::string vm;  // UUID: names may change
    ScratchPaths paths;
    std::map<std::string, std::string> new_bitmaps;  // by disk, and the checkpoint's name
    bool undecided = false;                          // no point of them can be durable
};

/// @return {"driver": "libvirt", "uri", "vm", "folder", "socket", "scratch": {disk: file},
///          "bitmaps": {disk: name}}; the owner adds "undecided"
[[nodiscard]] serialization::Value to_document(const KeeperOrder& order);
/// @errors corrupt, id "keeper.document": a member is missing or of another kind
[[nodiscard]] Result<KeeperOrder> from_document(const serialization::Value& document);

}  // namespace stillpoint::hypervisor::libvirt
