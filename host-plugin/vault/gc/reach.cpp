#include "vault/gc/reach.hpp"

#include "vault/map_reader.hpp"

namespace stillpoint::vault::gc {
namespace {

Error as_damage(const Error& error) {
    if (error.code != Errc::corrupt) return error;
    return {Errc::corrupt, "gc.damage", error.text,
            "nothing is deleted while recovery points are damaged: see `stillpoint vault check`, "
            "and forget the points that it names"};
}

}  // namespace

Status Reach::add(const Point& point, const env::CancelToken& cancel) {
    for (const DiskRoot& disk : point.disks) {
        const Status walked = walk_disk(disk, cancel);
        if (walked) continue;
        return fail(as_damage(
            in_step("recovery point " + point.id + ", disk " + disk.disk, walked.error())));
    }
    return {};
}

Reach Reach::later() && {
    Reach reach{chunks_};
    reach.nodes_ = std::move(nodes_);
    return reach;
}

Status Reach::walk_disk(const DiskRoot& disk, const env::CancelToken& cancel) {
    if (nodes_.contains(disk.root)) return {};
    SP_ASSIGN(const bool first, note(disk.root));
    if (!first && nodes_.contains(disk.root)) return {};
    SP_ASSIGN(const Bytes bytes, chunks_.get(disk.root, Content::map));
    SP_ASSIGN(const RootRecord root, decode_root(bytes));
    if (root.top) SP_TRY(walk_node(*root.top, root.shape.depth(), cancel));
    nodes_.insert(disk.root);
    return {};
}

Status Reach::walk_node(const chunk::ChunkId& id, unsigned levels_left,
                        const env::CancelToken& cancel) {
    if (nodes_.contains(id)) return {};
    SP_TRY(cancel.check());
    SP_TRY(note(id));
    SP_ASSIGN(const MapNode node, read_node(id));
    if (node.level() + 1 != levels_left) {
        return fail(Errc::corrupt, "map.damaged", "a block map's node is of another level");
    }
    for (auto slot = node.next(0); slot; slot = node.next(*slot + 1)) {
        const chunk::ChunkId child = *node.child(*slot);
        if (levels_left == 1) {
            SP_TRY(note(child));
        } else {
            SP_TRY(walk_node(child, levels_left - 1, cancel));
        }
    }
    // Last: a walk that was cut short must not hide what it did not see.
    nodes_.insert(id);
    return {};
}

Result<MapNode> Reach::read_node(const chunk::ChunkId& id) {
    SP_ASSIGN(const Bytes bytes, chunks_.get(id, Content::map));
    SP_ASSIGN(auto node, decode_node(bytes));
    auto* full = std::get_if<MapNode>(&node);
    if (full == nullptr) {
        return fail(Errc::corrupt, "map.damaged", "a block map's node is a delta without its base");
    }
    return std::move(*full);
}

Result<bool> Reach::note(const chunk::ChunkId& id) {
    SP_ASSIGN(const ChunkPlace place, chunks_.locate(id));
    const bool first = mark(place);
    if (!first || !place.base) return first;
    // Whoever keeps a delta keeps its base, and a copy of it that is no delta.
    SP_ASSIGN(const ChunkPlace base, chunks_.locate_whole(*place.base));
    mark(base);
    return first;
}

bool Reach::mark(const ChunkPlace& place) {
    PackUse& use = packs_[place.pack];
    if (use.needed.size() <= place.slot) use.needed.resize(place.slot + 1);
    if (use.needed[place.slot]) return false;
    use.needed[place.slot] = true;
    ++use.count;
    ++records_;
    return true;
}

}  // namespace stillpoint::vault::gc
