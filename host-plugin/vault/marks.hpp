#pragma once
#include <set>
#include <string>
#include <vector>

#include "vault/pack_format.hpp"

/// `condemned/<id>`: packs that a later gc will delete. Written by gc alone; here they are
/// honoured.
namespace stillpoint::vault {

/// @return the plaintext of a mark
[[nodiscard]] Bytes encode_mark(const std::vector<PackName>& packs);
/// @errors corrupt, id "vault.mark_damaged"
[[nodiscard]] Result<std::vector<PackName>> decode_mark(ByteView plaintext);

struct Marks {
    std::set<PackName> packs;
    std::vector<std::string> damage;  // marks that cannot be read: gc cannot act on them either
};
[[nodiscard]] Result<Marks> load_marks(const VaultCore& core);

}  // namespace stillpoint::vault
