#pragma once
#include <memory>

#include "vault/map_writer.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault {

/// @param node_id the vault's id of map nodes
/// Memory holds what lies between the slowest and the fastest giver of blocks.
[[nodiscard]] std::unique_ptr<RootProof> make_root_proof(const MapShape& shape, IdFn node_id);

}  // namespace stillpoint::vault
