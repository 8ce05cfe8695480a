#pragma once
#include <functional>
#include <vector>

#include "vault/block_store.hpp"
#include "vault/pack_format.hpp"

namespace stillpoint::vault::gc {

/// Removes packs that no segment names any more: as many at once as the store likes, in no order
/// (docs/gc.md says why none is needed). All are gone, durably, when it returns success.
/// @param alive asked before each removal, from any of the threads
/// @errors those of `alive` and of the store; the first one. Then no other removal begins, and
///         those that were under way have ended
/// @threads one; calls the store from several
[[nodiscard]] Status remove_packs(BlockStore& store, const std::vector<PackName>& packs,
                                  const std::function<Status()>& alive);

}  // namespace stillpoint::vault::gc
