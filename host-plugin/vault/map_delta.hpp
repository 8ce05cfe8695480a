#pragma once
#include <optional>

#include "base/bytes.hpp"
#include "chunk/chunk_id.hpp"

/// How a map record is stored as its difference from another: encoding 3 in a map pack
/// (docs/vault-format.md, "Packs" and "Block map").
namespace stillpoint::vault {

/// @param base the full record of that id; not a delta
/// @param record the full record of another node
/// @return the delta's payload; nothing where it would take more than half of the full record
[[nodiscard]] std::optional<Bytes> map_delta(const chunk::ChunkId& base_id, ByteView base,
                                             ByteView record);

/// @param base the full record of that id
/// @return the full record that the payload stands for
/// @errors corrupt, id "map.delta" or "map.node": not a delta of this base
[[nodiscard]] Result<Bytes> undo_map_delta(ByteView payload, const chunk::ChunkId& base_id,
                                           ByteView base);

}  // namespace stillpoint::vault
