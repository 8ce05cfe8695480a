#pragma once
#include <vector>

#include "vault/vault.hpp"
#include "vault/vault_core.hpp"

/// `copies/<point id>`: every recovery point's content once more, under a key of its own, so that
/// the loss of one small object costs nothing. A copy whose point is gone, and was not forgotten,
/// tells that the point was lost. docs/adr/0019-point-copies.md.
namespace stillpoint::vault {

/// @return the name of the copy's object
[[nodiscard]] std::string copy_object(const PointId& id);

/// @param content of the point, as encode_point() made it
/// @errors as BlockStore::put; a copy that is there already is success
[[nodiscard]] Status put_copy(const VaultCore& core, const PointId& id, ByteView content);
/// @errors not_found · corrupt, also where the copy is of another point
[[nodiscard]] Result<Point> load_copy(const VaultCore& core, const PointId& id);
/// @return the content that the copy holds @errors as load_copy
[[nodiscard]] Result<Bytes> load_copy_content(const VaultCore& core, const PointId& id);
/// Removing what is not there is success.
[[nodiscard]] Status remove_copy(const VaultCore& core, const PointId& id);
/// Sorted.
[[nodiscard]] Result<std::vector<PointId>> list_copies(const VaultCore& core);
/// Points that have a copy, are not there and were not forgotten. Sorted.
[[nodiscard]] Result<std::vector<PointId>> lost_points(const VaultCore& core);

/// `recovered/<point id>`: the point was brought back from its copy, and nobody has said yet that
/// it is wanted.
[[nodiscard]] Status mark_recovered(const VaultCore& core, const PointId& id);
[[nodiscard]] Result<bool> is_recovered(const VaultCore& core, const PointId& id);
[[nodiscard]] Result<std::vector<PointId>> list_recovered(const VaultCore& core);
[[nodiscard]] Status unmark_recovered(const VaultCore& core, const PointId& id);

}  // namespace stillpoint::vault
