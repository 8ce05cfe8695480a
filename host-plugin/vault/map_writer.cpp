#include "vault/map_writer.hpp"

#include "base/check.hpp"

namespace stillpoint::vault {

Result<std::unique_ptr<MapWriter>> MapWriter::open(NodeLoader& nodes, const MapShape& shape,
                                                   const MapReader* parent,
                                                   const MapWriterOptions& options) {
    std::unique_ptr<MapWriter> writer{new MapWriter{nodes, shape, options.units_max}};
    if (parent != nullptr) SP_TRY(writer->adopt(*parent));
    return writer;
}

Status MapWriter::adopt(const MapReader& parent) {
    const MapShape& old = parent.shape();
    if (old.chunk_bytes() != shape_.chunk_bytes() || old.fan_out() != shape_.fan_out()) {
        return fail(Errc::invalid, "map.shape",
                    "the parent's map differs in chunk size or fan-out");
    }
    const unsigned depth = shape_.depth();
    if (depth > old.depth()) return lift(parent);
    SP_ASSIGN(top_, parent.node_id(depth - 1, 0));
    if (shape_.blocks() >= old.blocks() || shape_.blocks() == 0) return {};
    // Shrunk: the nodes on the new right edge are rewritten without what lies past it.
    for (unsigned level = 0; level < depth; ++level) {
        open_node({level, shape_.node_of(level, shape_.blocks() - 1)});
    }
    return {};
}

Status MapWriter::lift(const MapReader& parent) {
    top_ = parent.top();
    for (unsigned level = parent.shape().depth(); top_ && level < shape_.depth(); ++level) {
        MapNode above{level, shape_.fan_out()};
        above.append(0, *top_);
        top_ = nodes_.id_of(encode(above));
        lifted_.emplace(*top_, std::make_shared<const MapNode>(std::move(above)));
        open_node({level, 0});
    }
    return {};
}

Status MapWriter::guard() const {
    if (!broken_) return {};
    return fail(in_step("block map unusable after a failure", *broken_));
}

Status MapWriter::keep_error(Status status) {
    if (!status && !broken_) broken_ = status.error();
    return status;
}

Status MapWriter::put(BlockIndex block, const ChildId& id) {
    SP_CHECK(block.raw() < shape_.blocks());
    const std::scoped_lock lock{mutex_};
    SP_TRY(guard());
    const Key leaf{0, shape_.node_of(0, block.raw())};
    SP_TRY(keep_error(set_child(leaf, shape_.slot_of(0, block.raw()), id)));
    return keep_error(relieve());
}

Status MapWriter::put_zeros(BlockIndex first, std::uint64_t count) {
    SP_CHECK(first.raw() <= shape_.blocks() && count <= shape_.blocks() - first.raw());
    const std::scoped_lock lock{mutex_};
    SP_TRY(guard());
    SP_TRY(keep_error(zero_range(first.raw(), first.raw() + count)));
    return keep_error(relieve());
}

Status MapWriter::zero_range(std::uint64_t at, std::uint64_t end) {
    // What lies past the disk is zero anyway: a range up to its end may clear whole subtrees.
    if (end == shape_.blocks()) end = shape_.span(shape_.depth());
    while (at < end && at < shape_.blocks()) {
        unsigned level = 0;
        while (level + 1 < shape_.depth() && at % shape_.span(level + 1) == 0 &&
               shape_.span(level + 1) <= end - at) {
            ++level;
        }
        const std::uint64_t next = at + shape_.span(level);
        forget_below(level, at, next);
        const Key key{level, shape_.node_of(level, at)};
        SP_TRY(set_child(key, shape_.slot_of(level, at), std::nullopt));
        at = next;
    }
    return {};
}

void MapWriter::forget_below(unsigned level, std::uint64_t first, std::uint64_t end) {
    for (unsigned below = 0; below < level; ++below) {
        auto at = open_.lower_bound({below, shape_.node_of(below, first)});
        const Key stop{below, shape_.node_of(below, end - 1)};
        while (at != open_.end() && at->first <= stop) {
            units_ -= at->second.units();
            at = open_.erase(at);
        }
    }
}

ChildId MapWriter::OpenNode::child(std::uint32_t slot) const {
    for (const Entry& entry : data) {
        if (entry.slot == slot) return entry.id;
    }
    return std::nullopt;
}

void MapWriter::OpenNode::set(std::uint32_t slot, const ChildId& id) {
    if (known.has(slot))
        std::erase_if(data, [&](const Entry& entry) { return entry.slot == slot; });
    known.add(slot);
    if (id) data.push_back({*id, slot});
}

MapWriter::OpenNode& MapWriter::open_node(const Key& key) {
    const auto [at, fresh] = open_.try_emplace(key, shape_.fan_out());
    if (fresh) units_ += open_node_units;
    return at->second;
}

Status MapWriter::set_child(const Key& key, std::uint32_t slot, const ChildId& id) {
    OpenNode& node = open_node(key);
    units_ -= node.units();
    node.set(slot, id);
    units_ += node.units();
    if (node.known.count() < shape_.children(key.level, key.index)) return {};
    return write_node(key);
}

Status MapWriter::relieve() {
    if (units_ <= units_max_) return {};
    // Captures read upwards: the lowest nodes are the least likely to see another block.
    while (units_ > units_max_ / 2) SP_TRY(write_lowest());
    return {};
}

Status MapWriter::write_lowest() {
    return write_node(Key{open_.begin()->first});
}

Status MapWriter::write_node(const Key& key) {
    const auto found = open_.find(key);
    const OpenNode changes = std::move(found->second);
    units_ -= changes.units();
    open_.erase(found);
    SP_ASSIGN(const ChildId base, base_of(key));
    SP_ASSIGN(const MapNode node, merged(key, changes));
    ChildId id;
    if (!node.empty()) id = nodes_.id_of(encode(node));
    const bool same = id == base;
    const bool stored = base && !lifted_.contains(*base);
    if (id && (!same || !stored)) SP_TRY(nodes_.put(node, stored ? base : std::nullopt));
    if (same) return {};
    if (key.level + 1 == shape_.depth()) {
        top_ = id;
        return {};
    }
    const Key above{key.level + 1, key.index / shape_.fan_out()};
    return set_child(above, static_cast<std::uint32_t>(key.index % shape_.fan_out()), id);
}

Result<MapNode> MapWriter::merged(const Key& key, const OpenNode& changes) {
    const std::uint32_t valid = shape_.children(key.level, key.index);
    NodeLoader::Node base;
    if (changes.known.count() < valid) {
        SP_ASSIGN(const ChildId base_id, base_of(key));
        SP_ASSIGN(base, load(key, base_id));
    }
    MapNode node{key.level, shape_.fan_out()};
    for (std::uint32_t slot = 0; slot < valid; ++slot) {
        ChildId id;
        if (changes.known.has(slot)) {
            id = changes.child(slot);
        } else if (base) {
            id = base->child(slot);
        }
        if (id) node.append(slot, *id);
    }
    return node;
}

Result<NodeLoader::Node> MapWriter::load(const Key& key, const ChildId& id) {
    if (!id) return NodeLoader::Node{};
    const auto lifted = lifted_.find(*id);
    if (lifted != lifted_.end()) return lifted->second;
    return nodes_.node(*id, key.level, shape_.fan_out());
}

// The node as it would be without its open entries: the parent's, or one that we wrote earlier.
Result<ChildId> MapWriter::base_of(const Key& key) {
    if (key.level + 1 == shape_.depth()) return top_;
    const Key above{key.level + 1, key.index / shape_.fan_out()};
    const auto slot = static_cast<std::uint32_t>(key.index % shape_.fan_out());
    if (const auto open = open_.find(above); open != open_.end()) {
        if (open->second.known.has(slot)) return open->second.child(slot);
    }
    SP_ASSIGN(const ChildId id, base_of(above));
    SP_ASSIGN(const auto node, load(above, id));
    return node ? node->child(slot) : ChildId{};
}

Result<chunk::ChunkId> MapWriter::finish() {
    const std::scoped_lock lock{mutex_};
    SP_TRY(guard());
    while (!open_.empty()) SP_TRY(keep_error(write_lowest()));
    auto root = nodes_.put(RootRecord{shape_, shape_.blocks() == 0 ? ChildId{} : top_});
    if (!root) broken_ = root.error();
    return root;
}

}  // namespace stillpoint::vault
