#include "vault/each_pack.hpp"

#include <algorithm>
#include <atomic>

#include "env/workers.hpp"

namespace stillpoint::vault {
namespace {

/// What a pack can take at most; an object that is longer is none, and is not read.
std::uint64_t readable_bytes(std::uint64_t bytes) {
    return std::min<std::uint64_t>(bytes, pack_bytes_max);
}

}  // namespace

unsigned packs_at_once(std::uint64_t largest_bytes) {
    const std::uint64_t each = std::max<std::uint64_t>(readable_bytes(largest_bytes), 1);
    return static_cast<unsigned>(
        std::min<std::uint64_t>(packs_memory_bytes / each, packs_at_once_max));
}

Status for_each_pack(const std::vector<PackName>& packs, std::uint64_t largest_bytes,
                     const env::CancelToken& cancel,
                     const std::function<Status(const PackName& name, PackMemory& memory)>& each) {
    std::atomic<std::size_t> next{0};
    const env::CancelToken stop = cancel.child();
    const auto work = [&]() -> Status {
        PackMemory memory{readable_bytes(largest_bytes)};
        for (std::size_t at = next++; at < packs.size(); at = next++) {
            SP_TRY(stop.check());
            SP_TRY(each(packs[at], memory));
        }
        return {};
    };
    const auto threads = std::min<std::size_t>(packs_at_once(largest_bytes), packs.size());
    env::CancelToken stopper = stop;
    return env::run_workers(static_cast<unsigned>(threads), work, [&] { stopper.cancel(); });
}

}  // namespace stillpoint::vault
