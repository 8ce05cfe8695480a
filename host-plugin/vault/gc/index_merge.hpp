#pragma once
#include <set>
#include <string>
#include <vector>

#include "vault/index_segment.hpp"

namespace stillpoint::vault::gc {

/// Writes one segment in place of all: without what it says of `dropped` packs. The new one is
/// durable before the old ones go (I1); segments that others write meanwhile are not touched.
/// Nothing is written when there is one segment at most and it names none of them.
/// @errors corrupt, id "vault.index_damaged": a segment cannot be read; nothing was changed · io
[[nodiscard]] Status rewrite_index(const VaultCore& core, const std::set<PackName>& dropped);

}  // namespace stillpoint::vault::gc
