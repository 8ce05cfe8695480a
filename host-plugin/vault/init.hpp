#pragma once
#include "vault/vault_core.hpp"

namespace stillpoint::vault {

/// init_vault() of vault.hpp with its randomness given, so that golden files can be made.
[[nodiscard]] Status init_vault(BlockStore& store, const InitOptions& options,
                                const KeyMaterial& key, const RandomSource& random);

/// Puts one small object twice and looks for it in a list: a name that can be taken twice would let
/// one host overwrite what another relies on (docs/gc.md). For stores that are somebody else's.
/// @errors unsupported, id "vault.store_unsafe" · those of the store
[[nodiscard]] Status prove_store(BlockStore& store);

}  // namespace stillpoint::vault
