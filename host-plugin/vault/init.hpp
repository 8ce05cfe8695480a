#pragma once
#include "vault/vault_core.hpp"

namespace stillpoint::vault {

/// init_vault() of vault.hpp with its randomness given, so that golden files can be made.
[[nodiscard]] Status init_vault(BlockStore& store, const InitOptions& options,
                                const KeyMaterial& key, const RandomSource& random);

}  // namespace stillpoint::vault
