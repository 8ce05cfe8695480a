#pragma once
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "chunk/chunk_id.hpp"
#include "vault/map_shape.hpp"

/// The block map's records and their bytes (docs/vault-format.md, "Block map").
namespace stillpoint::vault {

inline constexpr std::size_t map_node_header_bytes = 12;
/// A delta carries two bitmaps, a base id and at most every child.
inline constexpr std::size_t map_node_bytes_max = map_node_header_bytes + chunk::ChunkId::bytes +
                                                  2 * map_fan_out_max / 8 +
                                                  map_fan_out_max * chunk::ChunkId::bytes;

using ChildId = std::optional<chunk::ChunkId>;  // nullopt: everything below reads as zeros

/// One bit per slot of a node.
class SlotSet {
public:
    explicit SlotSet(std::uint32_t slots) : words_((slots + 63) / 64), slots_(slots) {}
    [[nodiscard]] bool has(std::uint32_t slot) const {
        return (words_[slot / 64] >> slot % 64 & 1) != 0;
    }
    void add(std::uint32_t slot) { words_[slot / 64] |= 1ull << slot % 64; }
    /// Members below `slot`.
    [[nodiscard]] std::uint32_t rank(std::uint32_t slot) const;
    /// First member >= `from`; nullopt: none.
    [[nodiscard]] std::optional<std::uint32_t> next(std::uint32_t from) const;
    [[nodiscard]] std::uint32_t count() const;
    [[nodiscard]] std::uint32_t slots() const { return slots_; }
    /// ceil(slots/8) bytes, slot 0 in the lowest bit of the first.
    void write(ByteWriter& out) const;
    /// @errors corrupt: too short, or a bit at or past `slots` is set
    static Result<SlotSet> read(ByteReader& in, std::uint32_t slots);
    friend bool operator==(const SlotSet&, const SlotSet&) = default;

private:
    std::vector<std::uint64_t> words_;
    std::uint32_t slots_;
};

/// The logical content of a node: which children are not zero, and their ids. Never empty once
/// stored: a node whose children are all zero is elided. Position-free, so that equal subtrees
/// share.
class MapNode {
public:
    MapNode(unsigned level, std::uint32_t fan_out) : level_(level), present_(fan_out) {}
    [[nodiscard]] unsigned level() const { return level_; }
    [[nodiscard]] std::uint32_t fan_out() const { return present_.slots(); }
    [[nodiscard]] bool empty() const { return ids_.empty(); }
    [[nodiscard]] ChildId child(std::uint32_t slot) const;
    /// First slot >= `from` that is not zero; nullopt: none.
    [[nodiscard]] std::optional<std::uint32_t> next(std::uint32_t from) const {
        return present_.next(from);
    }
    [[nodiscard]] std::uint32_t count() const { return static_cast<std::uint32_t>(ids_.size()); }
    /// Slots come in ascending order, each at most once.
    void append(std::uint32_t slot, const chunk::ChunkId& id);
    friend bool operator==(const MapNode&, const MapNode&) = default;

private:
    friend struct NodeCodec;
    unsigned level_;
    SlotSet present_;
    std::vector<chunk::ChunkId> ids_;
};

/// A node written as its difference from one `full` base: smaller, the same id.
struct DeltaNode {
    unsigned level = 0;
    chunk::ChunkId base;
    SlotSet changed;                  // at least one
    SlotSet present;                  // subset of `changed`: the others became zero
    std::vector<chunk::ChunkId> ids;  // of `present`, ascending
    friend bool operator==(const DeltaNode&, const DeltaNode&) = default;
};

/// The record that a disk's root id names: the geometry and the top node.
struct RootRecord {
    MapShape shape;
    ChildId top;  // nullopt: the whole disk is zeros
    friend bool operator==(const RootRecord&, const RootRecord&) = default;
};

/// Full encoding: at once the bytes that a node's id is the HMAC of.
[[nodiscard]] Bytes encode(const MapNode& node);
[[nodiscard]] Bytes encode(const DeltaNode& node);
[[nodiscard]] Bytes encode(const RootRecord& root);

/// Bounded; what is accepted encodes back to the same bytes.
/// @errors corrupt, id "map.node" · unsupported, id "map.newer": a later format
[[nodiscard]] Result<std::variant<MapNode, DeltaNode>> decode_node(ByteView bytes);
/// @errors as above, id "map.root"
[[nodiscard]] Result<RootRecord> decode_root(ByteView bytes);

/// The difference that turns `base` into `node`; both of one level and fan-out, and different.
[[nodiscard]] DeltaNode delta_between(const MapNode& base, const chunk::ChunkId& base_id,
                                      const MapNode& node);
/// @errors corrupt, id "map.delta": level or fan-out of the base differ, or nothing would be left
[[nodiscard]] Result<MapNode> apply(const DeltaNode& delta, const MapNode& base);

}  // namespace stillpoint::vault
