#include "vault/node_loader.hpp"

#include "base/hex.hpp"

namespace stillpoint::vault {
namespace {

tl::unexpected<Error> bad_node(const chunk::ChunkId& id, const std::string& why) {
    return fail(Errc::corrupt, "map.damaged",
                "block map node " + to_hex(id.view()).substr(0, 16) + ": " + why);
}

}  // namespace

Result<NodeLoader::Node> NodeLoader::node(const chunk::ChunkId& id, unsigned level,
                                          std::uint32_t fan_out) {
    Node node = find(id);
    if (!node) {
        SP_ASSIGN(MapNode fetched, fetch(id));
        node = std::make_shared<const MapNode>(std::move(fetched));
        keep(id, node);
    }
    // What a parent expects is checked on every use: the same node may be named wrongly elsewhere.
    if (node->level() != level || node->fan_out() != fan_out) {
        return bad_node(id, "has level " + std::to_string(node->level()) + " where level " +
                                std::to_string(level) + " belongs");
    }
    return node;
}

Result<MapNode> NodeLoader::fetch(const chunk::ChunkId& id) {
    SP_ASSIGN(const Bytes bytes, store_.get(id, Content::map));
    // The id covers the logical content: the wrong base of a delta cannot get past this line.
    if (id_of_(bytes) != id) return bad_node(id, "its content has another id");
    SP_ASSIGN(auto decoded, decode_node(bytes));
    auto* full = std::get_if<MapNode>(&decoded);
    if (full == nullptr) return bad_node(id, "a delta without its base");
    return std::move(*full);
}

Result<RootRecord> NodeLoader::root(const chunk::ChunkId& id) {
    SP_ASSIGN(const Bytes bytes, store_.get(id, Content::map));
    if (id_of_(bytes) != id) return bad_node(id, "the root's content has another id");
    return decode_root(bytes);
}

Result<chunk::ChunkId> NodeLoader::put(const MapNode& node, const ChildId& previous) {
    const Bytes bytes = encode(node);
    const chunk::ChunkId id = id_of_(bytes);
    SP_TRY(previous ? store_.put_after(*previous, id, bytes, Content::map)
                    : store_.put(id, bytes, Content::map));
    keep(id, std::make_shared<const MapNode>(node));
    return id;
}

Result<chunk::ChunkId> NodeLoader::put(const RootRecord& root) {
    const Bytes bytes = encode(root);
    const chunk::ChunkId id = id_of_(bytes);
    SP_TRY(store_.put(id, bytes, Content::map));
    return id;
}

NodeLoader::Node NodeLoader::find(const chunk::ChunkId& id) {
    const std::scoped_lock lock{mutex_};
    const auto found = nodes_.find(id);
    if (found == nodes_.end()) return nullptr;
    by_use_.splice(by_use_.begin(), by_use_, found->second.used);
    return found->second.node;
}

void NodeLoader::keep(const chunk::ChunkId& id, Node node) {
    const std::scoped_lock lock{mutex_};
    if (nodes_.contains(id)) return;
    by_use_.push_front(id);
    nodes_.emplace(id, Slot{std::move(node), by_use_.begin()});
    while (nodes_.size() > nodes_max_) {
        nodes_.erase(by_use_.back());
        by_use_.pop_back();
    }
}

}  // namespace stillpoint::vault
