#include "vault/gc/remove_packs.hpp"

#include <algorithm>
#include <atomic>

#include "env/workers.hpp"

namespace stillpoint::vault::gc {

Status remove_packs(BlockStore& store, const std::vector<PackName>& packs,
                    const std::function<Status()>& alive) {
    std::atomic<std::size_t> next{0};
    std::atomic<bool> stopped{false};
    const auto work = [&]() -> Status {
        for (std::size_t at = next++; at < packs.size() && !stopped; at = next++) {
            SP_TRY(alive());
            SP_TRY(store.remove(packs[at].object()));
        }
        return {};
    };
    const auto threads = std::min<std::size_t>(store.calls_at_once(), packs.size());
    return env::run_workers(static_cast<unsigned>(threads), work, [&] { stopped = true; });
}

}  // namespace stillpoint::vault::gc
