#pragma once
#include <string>
#include <vector>

#include "vault/gc/live_runs.hpp"
#include "vault/vault.hpp"

/// `forgotten/<point id>`: copies of points that were forgotten while backups may build on them.
namespace stillpoint::vault::gc {

struct Forgotten {
    PointId id;
    std::uint64_t since_ns = 0;  // by the store's clock; 0: unknown
};

/// Keeps a copy of the point for gc, then removes it from the points. One that cannot be read is
/// only removed: nothing can be built on it.
/// @errors io and the like
[[nodiscard]] Status forget_point(const VaultCore& core, const PointId& id);

[[nodiscard]] Result<std::vector<Forgotten>> list_forgotten(const VaultCore& core);
/// @errors not_found: another gc removed it · corrupt
[[nodiscard]] Result<Point> load_forgotten(const VaultCore& core, const PointId& id);
[[nodiscard]] Status remove_forgotten(const VaultCore& core, const PointId& id);

/// Whether one of these runs may have found the point before it was forgotten. Pure.
/// @param live listed after the forgotten points: who began later cannot have found it
[[nodiscard]] bool may_be_built_on(const Forgotten& point, const std::vector<RunState>& live);

}  // namespace stillpoint::vault::gc
