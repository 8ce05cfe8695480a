#include "vault/map_node.hpp"

#include <bit>
#include <cstring>
#include <string>

#include "base/check.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::uint32_t magic = 0x4d425053;  // "SPBM"
constexpr std::uint8_t version = 1;
constexpr unsigned level_max = 50;  // log2 of map_blocks_max: fan-out 2 needs no more

enum class Kind : std::uint8_t { full = 1, delta = 2, root = 3 };

struct Header {
    Kind kind = Kind::full;
    unsigned level = 0;
    std::uint32_t fan_out = 0;
};

void write_header(ByteWriter& out, const Header& header) {
    out.u32(magic).u8(version).u8(static_cast<std::uint8_t>(header.kind));
    out.u8(static_cast<std::uint8_t>(header.level)).u8(0).u32(header.fan_out);
}

tl::unexpected<Error> damaged(const char* id, const std::string& text) {
    return fail(Errc::corrupt, id, "block map record: " + text);
}

Result<Header> read_header(ByteReader& in, const char* id) {
    SP_ASSIGN(const auto seen_magic, in.u32());
    SP_ASSIGN(const auto seen_version, in.u8());
    SP_ASSIGN(const auto kind, in.u8());
    SP_ASSIGN(const auto level, in.u8());
    SP_ASSIGN(const auto reserved, in.u8());
    SP_ASSIGN(const auto fan_out, in.u32());
    if (seen_magic != magic) return damaged(id, "wrong magic");
    if (seen_version > version) {
        return fail(Errc::unsupported, "map.newer",
                    "block map record of version " + std::to_string(seen_version),
                    "use a newer stillpoint");
    }
    if (seen_version == 0 || reserved != 0) return damaged(id, "reserved field in use");
    if (kind < 1 || kind > 3) return damaged(id, "unknown kind " + std::to_string(kind));
    if (level > level_max) return damaged(id, "level " + std::to_string(level));
    if (!std::has_single_bit(fan_out) || fan_out < map_fan_out_min || fan_out > map_fan_out_max) {
        return damaged(id, "fan-out " + std::to_string(fan_out));
    }
    return Header{static_cast<Kind>(kind), level, fan_out};
}

Result<chunk::ChunkId> read_id(ByteReader& in) {
    chunk::ChunkId id;
    SP_ASSIGN(const auto bytes, in.take(chunk::ChunkId::bytes));
    std::memcpy(id.value.data(), bytes.data(), bytes.size());
    return id;
}

// The count comes from a bitmap of at most map_fan_out_max bits, and the bytes must be there.
Result<std::vector<chunk::ChunkId>> read_ids(ByteReader& in, std::uint32_t count) {
    SP_ASSIGN(const auto bytes, in.take(std::size_t{count} * chunk::ChunkId::bytes));
    std::vector<chunk::ChunkId> ids(count);
    if (count != 0) std::memcpy(ids.data(), bytes.data(), bytes.size());
    return ids;
}
static_assert(sizeof(chunk::ChunkId) == chunk::ChunkId::bytes);

void write_ids(ByteWriter& out, const std::vector<chunk::ChunkId>& ids) {
    for (const chunk::ChunkId& id : ids) out.raw(id.view());
}

}  // namespace

std::uint32_t SlotSet::rank(std::uint32_t slot) const {
    int below = 0;
    for (std::uint32_t word = 0; word < slot / 64; ++word) below += std::popcount(words_[word]);
    if (slot % 64 != 0) below += std::popcount(words_[slot / 64] & ((1ull << slot % 64) - 1));
    return static_cast<std::uint32_t>(below);
}

std::optional<std::uint32_t> SlotSet::next(std::uint32_t from) const {
    if (from >= slots_) return std::nullopt;
    std::uint64_t word = words_[from / 64] & (~0ull << from % 64);
    for (std::uint32_t i = from / 64;; word = words_[i]) {
        if (word != 0) return i * 64 + static_cast<std::uint32_t>(std::countr_zero(word));
        if (++i == words_.size()) return std::nullopt;
    }
}

std::uint32_t SlotSet::count() const {
    int all = 0;
    for (const std::uint64_t word : words_) all += std::popcount(word);
    return static_cast<std::uint32_t>(all);
}

void SlotSet::write(ByteWriter& out) const {
    for (std::uint32_t at = 0; at < slots_; at += 8) {
        out.u8(static_cast<std::uint8_t>(words_[at / 64] >> at % 64 & 0xff));
    }
}

Result<SlotSet> SlotSet::read(ByteReader& in, std::uint32_t slots) {
    SlotSet set{slots};
    for (std::uint32_t at = 0; at < slots; at += 8) {
        SP_ASSIGN(const std::uint64_t byte, in.u8());
        if (slots - at < 8 && byte >> (slots - at) != 0) {
            return damaged("map.node", "bitmap names a slot past the fan-out");
        }
        set.words_[at / 64] |= byte << at % 64;
    }
    return set;
}

ChildId MapNode::child(std::uint32_t slot) const {
    if (!present_.has(slot)) return std::nullopt;
    return ids_[present_.rank(slot)];
}

void MapNode::append(std::uint32_t slot, const chunk::ChunkId& id) {
    SP_CHECK(slot < fan_out() && !present_.next(slot));
    present_.add(slot);
    ids_.push_back(id);
}

/// What may build a node from its parts.
struct NodeCodec {
    static Bytes encode(const MapNode& node) {
        SP_CHECK(!node.empty());
        Bytes bytes;
        bytes.reserve(map_node_header_bytes + node.fan_out() / 8 + 1 +
                      node.ids_.size() * chunk::ChunkId::bytes);
        ByteWriter out{bytes};
        write_header(out, {Kind::full, node.level_, node.fan_out()});
        node.present_.write(out);
        write_ids(out, node.ids_);
        return bytes;
    }
    static Result<MapNode> read_full(ByteReader& in, const Header& header) {
        MapNode node{header.level, header.fan_out};
        SP_ASSIGN(node.present_, SlotSet::read(in, header.fan_out));
        SP_ASSIGN(node.ids_, read_ids(in, node.present_.count()));
        if (node.empty()) return damaged("map.node", "a node without children");
        return node;
    }
};

Bytes encode(const MapNode& node) {
    return NodeCodec::encode(node);
}

Bytes encode(const DeltaNode& node) {
    Bytes bytes;
    ByteWriter out{bytes};
    write_header(out, {Kind::delta, node.level, node.changed.slots()});
    out.raw(node.base.view());
    node.changed.write(out);
    node.present.write(out);
    write_ids(out, node.ids);
    return bytes;
}

Bytes encode(const RootRecord& root) {
    Bytes bytes;
    ByteWriter out{bytes};
    write_header(out, {Kind::root, root.shape.depth(), root.shape.fan_out()});
    out.u64(root.shape.size().raw()).u32(root.shape.chunk_bytes()).u32(root.top ? 1 : 0);
    if (root.top) out.raw(root.top->view());
    return bytes;
}

namespace {

Result<DeltaNode> read_delta(ByteReader& in, const Header& header) {
    SP_ASSIGN(const auto base, read_id(in));
    SP_ASSIGN(auto changed, SlotSet::read(in, header.fan_out));
    SP_ASSIGN(auto present, SlotSet::read(in, header.fan_out));
    for (auto slot = present.next(0); slot; slot = present.next(*slot + 1)) {
        if (!changed.has(*slot)) return damaged("map.node", "delta sets a slot it does not change");
    }
    if (changed.count() == 0) return damaged("map.node", "a delta without changes");
    SP_ASSIGN(auto ids, read_ids(in, present.count()));
    return DeltaNode{header.level, base, std::move(changed), std::move(present), std::move(ids)};
}

}  // namespace

Result<std::variant<MapNode, DeltaNode>> decode_node(ByteView bytes) {
    ByteReader in{bytes};
    SP_ASSIGN(const Header header, read_header(in, "map.node"));
    if (header.kind == Kind::root) return damaged("map.node", "a root where a node belongs");
    if (header.kind == Kind::full) {
        SP_ASSIGN(auto node, NodeCodec::read_full(in, header));
        SP_TRY(in.finish());
        return node;
    }
    SP_ASSIGN(auto delta, read_delta(in, header));
    SP_TRY(in.finish());
    return delta;
}

Result<RootRecord> decode_root(ByteView bytes) {
    ByteReader in{bytes};
    SP_ASSIGN(const Header header, read_header(in, "map.root"));
    if (header.kind != Kind::root) return damaged("map.root", "a node where a root belongs");
    SP_ASSIGN(const auto size, in.u64());
    SP_ASSIGN(const auto chunk_bytes, in.u32());
    SP_ASSIGN(const auto has_top, in.u32());
    auto shape = MapShape::make(ByteCount{size}, chunk_bytes, header.fan_out);
    if (!shape) return damaged("map.root", shape.error().text);
    if (shape->depth() != header.level || has_top > 1) {
        return damaged("map.root", "depth or flags contradict the size");
    }
    RootRecord root{*shape, std::nullopt};
    if (has_top == 1) {
        SP_ASSIGN(root.top, read_id(in));
    }
    SP_TRY(in.finish());
    return root;
}

DeltaNode delta_between(const MapNode& base, const chunk::ChunkId& base_id, const MapNode& node) {
    SP_CHECK(base.level() == node.level() && base.fan_out() == node.fan_out());
    DeltaNode delta{node.level(), base_id, SlotSet{node.fan_out()}, SlotSet{node.fan_out()}, {}};
    for (std::uint32_t slot = 0; slot < node.fan_out(); ++slot) {
        const ChildId now = node.child(slot);
        if (now == base.child(slot)) continue;
        delta.changed.add(slot);
        if (!now) continue;
        delta.present.add(slot);
        delta.ids.push_back(*now);
    }
    return delta;
}

Result<MapNode> apply(const DeltaNode& delta, const MapNode& base) {
    if (delta.level != base.level() || delta.changed.slots() != base.fan_out()) {
        return damaged("map.delta", "its base has another level or fan-out");
    }
    MapNode node{delta.level, base.fan_out()};
    std::size_t used = 0;
    for (std::uint32_t slot = 0; slot < base.fan_out(); ++slot) {
        if (delta.present.has(slot)) {
            node.append(slot, delta.ids[used++]);
        } else if (const ChildId kept = base.child(slot); kept && !delta.changed.has(slot)) {
            node.append(slot, *kept);
        }
    }
    if (node.empty()) return damaged("map.delta", "nothing is left of its base");
    return node;
}

}  // namespace stillpoint::vault
