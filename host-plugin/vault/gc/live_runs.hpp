#pragma once
#include <optional>
#include <string>
#include <vector>

#include "vault/run_lease.hpp"

/// The runs that a vault's store knows of, as gc sees them. docs/vault-format.md, "Runs and marks".
namespace stillpoint::vault::gc {

// A clock may differ from ours by so much before we take a live run for an expired one. Even then
// nothing is lost: the fence makes its publishing fail.
inline constexpr std::chrono::minutes clock_skew_max{30};

/// One run and all its objects.
struct RunState {
    std::string id;
    std::vector<std::string> objects;  // runs/<id>.<n>
    std::uint64_t started_ns = 0;  // by its host's clock or the store's, the earlier; 0: unknown
    std::uint64_t expires_ns = 0;
    [[nodiscard]] bool expired(env::Nanoseconds wall) const;
    [[nodiscard]] bool is_gc() const;
};

/// @return the id that a gc's run gets: it is told from a backup's by its first letters
[[nodiscard]] std::string new_gc_id(const env::Clock& clock);

/// A run object that cannot be read counts by its age in the store.
/// @errors io and the like
[[nodiscard]] Result<std::vector<RunState>> list_runs(const VaultCore& core);

/// Makes sure that a run which expired never publishes: its point's name is taken by a fence, or by
/// the point itself if it was published after all. Then its objects go.
/// @errors io and the like
[[nodiscard]] Status bury_run(const VaultCore& core, const RunState& run);

/// Removes fences that the store got longer ago than that, by its own clock: no process stands
/// still for so long.
/// @param own_run a run of this process, whose object tells what time it is there
[[nodiscard]] Status remove_old_fences(const VaultCore& core, const std::string& own_run,
                                       std::chrono::hours kept);

}  // namespace stillpoint::vault::gc
