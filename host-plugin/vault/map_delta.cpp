#include "vault/map_delta.hpp"

#include "vault/map_node.hpp"

namespace stillpoint::vault {
namespace {

// A delta costs a second record to read, and grows with every change since its base: it has to save
// half. With fan-out 64 that is when no more than about 28 children of a full node changed.
constexpr std::size_t share_max = 2;

std::optional<MapNode> full_node(ByteView record) {
    auto node = decode_node(record);
    if (!node || !std::holds_alternative<MapNode>(*node)) return std::nullopt;
    return std::get<MapNode>(std::move(*node));
}

}  // namespace

std::optional<Bytes> map_delta(const chunk::ChunkId& base_id, ByteView base, ByteView record) {
    const auto before = full_node(base);
    const auto now = full_node(record);
    if (!before || !now || *before == *now) return std::nullopt;
    if (before->level() != now->level() || before->fan_out() != now->fan_out()) return std::nullopt;
    Bytes payload = encode(delta_between(*before, base_id, *now));
    // The base is named once more, in the pack's directory.
    if ((payload.size() + chunk::ChunkId::bytes) * share_max > record.size()) return std::nullopt;
    return payload;
}

Result<Bytes> undo_map_delta(ByteView payload, const chunk::ChunkId& base_id, ByteView base) {
    SP_ASSIGN(const auto decoded, decode_node(payload));
    const auto* delta = std::get_if<DeltaNode>(&decoded);
    const auto before = full_node(base);
    if (delta == nullptr || delta->base != base_id || !before) {
        return fail(Errc::corrupt, "map.delta",
                    "block map record: not a delta of the base that its pack names");
    }
    SP_ASSIGN(const MapNode node, apply(*delta, *before));
    return encode(node);
}

}  // namespace stillpoint::vault
