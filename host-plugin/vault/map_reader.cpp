#include "vault/map_reader.hpp"

#include "base/check.hpp"
#include "base/hex.hpp"

namespace stillpoint::vault {

Result<MapReader> MapReader::open(NodeLoader& nodes, const chunk::ChunkId& root) {
    SP_ASSIGN(const RootRecord record, nodes.root(root));
    return MapReader{nodes, record};
}

Result<NodeLoader::Node> MapReader::load(unsigned level, std::uint64_t index,
                                         const chunk::ChunkId& id) const {
    SP_ASSIGN(auto node, nodes_->node(id, level, shape().fan_out()));
    if (node->next(shape().children(level, index))) {
        return fail(Errc::corrupt, "map.damaged",
                    "block map node " + to_hex(id.view()).substr(0, 16) +
                        ": names blocks past the end of the disk");
    }
    return node;
}

Result<ChildId> MapReader::descend(unsigned level, std::uint64_t block) const {
    ChildId id = record_.top;
    for (unsigned at = shape().depth(); id && at-- > level;) {
        SP_ASSIGN(const auto node, load(at, shape().node_of(at, block), *id));
        id = node->child(shape().slot_of(at, block));
    }
    return id;
}

Result<ChildId> MapReader::id_at(BlockIndex block) const {
    if (block.raw() >= shape().blocks()) return std::nullopt;
    return descend(0, block.raw());
}

Result<ChildId> MapReader::node_id(unsigned level, std::uint64_t index) const {
    const std::uint64_t block = shape().first_block(level, index);
    if (block >= shape().blocks()) return std::nullopt;
    return descend(level + 1, block);
}

MapRun MapReader::run_until(MapRun::Kind kind, std::uint64_t from, std::uint64_t end) const {
    return {kind, BlockIndex{from}, std::min(end, shape().blocks()) - from, {}};
}

Result<MapRun> MapReader::run_at(BlockIndex from) const {
    const std::uint64_t block = from.raw();
    SP_CHECK(block < shape().blocks());
    if (!record_.top) return run_until(MapRun::Kind::zeros, block, shape().blocks());
    chunk::ChunkId id = *record_.top;
    for (unsigned level = shape().depth(); level-- > 0;) {
        const std::uint64_t first = shape().first_block(level, shape().node_of(level, block));
        auto node = load(level, shape().node_of(level, block), id);
        if (!node && node.error().code == Errc::corrupt) {
            MapRun bad = run_until(MapRun::Kind::damaged, block, first + shape().span(level + 1));
            bad.text = node.error().text;
            return bad;
        }
        if (!node) return fail(std::move(node).error());
        const std::uint32_t slot = shape().slot_of(level, block);
        const ChildId child = (*node)->child(slot);
        if (!child) {
            const auto next = (*node)->next(slot).value_or(shape().fan_out());
            return run_until(MapRun::Kind::zeros, block, first + next * shape().span(level));
        }
        if (level == 0) {
            std::uint32_t end = slot + 1;
            while ((*node)->next(end) == end) ++end;
            return run_until(MapRun::Kind::data, block, first + end);
        }
        id = *child;
    }
    check_failed("a map without leaves", __FILE__, __LINE__);
}

Result<std::optional<BlockIndex>> MapReader::next_data(BlockIndex from) const {
    if (!record_.top || from.raw() >= shape().blocks()) return std::nullopt;
    return next_below(shape().depth() - 1, *record_.top, 0, from.raw());
}

Result<std::optional<BlockIndex>> MapReader::next_below(unsigned level, const chunk::ChunkId& id,
                                                        std::uint64_t index,
                                                        std::uint64_t from) const {
    SP_ASSIGN(const auto node, load(level, index, id));
    const std::uint64_t first = shape().first_block(level, index);
    const std::uint32_t start = from <= first ? 0 : shape().slot_of(level, from);
    for (auto slot = node->next(start); slot; slot = node->next(*slot + 1)) {
        const std::uint64_t child = index * shape().fan_out() + *slot;
        if (level == 0) return BlockIndex{child};
        SP_ASSIGN(const auto found, next_below(level - 1, *node->child(*slot), child, from));
        if (found) return found;  // nothing only when `from` is past this child's last data
    }
    return std::nullopt;
}

namespace {

/// A place in one of the two trees. Above the shallower tree's top there are no stored nodes:
/// `lifted` stands for one whose only child is at slot 0.
struct Place {
    ChildId id;
    bool lifted = false;
    friend bool operator==(const Place&, const Place&) = default;
};

class MapDiff {
public:
    MapDiff(NodeLoader& nodes, const MapReader& a, const MapReader& b, const DiffFn& differs)
        : nodes_(nodes), a_(a), b_(b), differs_(differs) {}

    Status run() {
        const unsigned depth = std::max(a_.shape().depth(), b_.shape().depth());
        return compare(depth - 1, 0, top_of(a_, depth), top_of(b_, depth));
    }

private:
    static Place top_of(const MapReader& map, unsigned depth) {
        if (map.shape().depth() < depth) return {std::nullopt, true};
        return {map.top(), false};
    }

    Result<NodeLoader::Node> load(unsigned level, const Place& place) {
        if (!place.id) return NodeLoader::Node{};
        return nodes_.node(*place.id, level, a_.shape().fan_out());
    }

    static Place child_of(const MapReader& map, unsigned level, const Place& place,
                          const NodeLoader::Node& node, std::uint32_t slot) {
        if (place.lifted) {
            if (slot != 0) return {};
            return top_of(map, level);
        }
        return {node ? node->child(slot) : ChildId{}, false};
    }

    Status compare(unsigned level, std::uint64_t index, const Place& a, const Place& b) {
        if (a == b && !a.lifted) return {};
        SP_ASSIGN(const auto node_a, load(level, a));
        SP_ASSIGN(const auto node_b, load(level, b));
        for (std::uint32_t slot = 0; slot < a_.shape().fan_out(); ++slot) {
            const Place below_a = child_of(a_, level, a, node_a, slot);
            const Place below_b = child_of(b_, level, b, node_b, slot);
            if (below_a == below_b && !below_a.lifted) continue;
            const std::uint64_t child = index * a_.shape().fan_out() + slot;
            if (level == 0) {
                SP_TRY(differs_(BlockIndex{child}, below_a.id, below_b.id));
            } else {
                SP_TRY(compare(level - 1, child, below_a, below_b));
            }
        }
        return {};
    }

    NodeLoader& nodes_;
    const MapReader& a_;
    const MapReader& b_;
    const DiffFn& differs_;
};

}  // namespace

Status diff_maps(NodeLoader& nodes, const MapReader& a, const MapReader& b, const DiffFn& differs) {
    if (a.shape().chunk_bytes() != b.shape().chunk_bytes() ||
        a.shape().fan_out() != b.shape().fan_out()) {
        return fail(Errc::invalid, "map.shape", "the two maps differ in chunk size or fan-out");
    }
    return MapDiff{nodes, a, b, differs}.run();
}

}  // namespace stillpoint::vault
