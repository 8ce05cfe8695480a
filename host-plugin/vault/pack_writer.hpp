#pragma once
#include <array>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "env/queue.hpp"
#include "vault/open_pack.hpp"

namespace stillpoint::vault {

struct DurablePack {
    PackName name;
    PackDirectory directory;
};

/// Fills packs from many threads and writes them behind their backs. Data and map nodes go to
/// packs of their own. Memory: packs_in_memory_max buffers, whatever the callers do.
/// The first failure sticks.
/// @threads append: any, concurrently; finish: one, after the last append returned
class PackWriter {
public:
    /// Called on a writing thread for each pack once it is durable; its failure sticks too.
    using OnDurable = std::function<Status(DurablePack pack)>;

    PackWriter(const VaultCore& core, OnDurable on_durable);
    PackWriter(const PackWriter&) = delete;
    PackWriter& operator=(const PackWriter&) = delete;
    /// Drops what was not finished.
    ~PackWriter();

    /// Waits while all buffers are full. @return sealed bytes
    /// @errors the first failure of any pack · timeout, id "vault.store_stalled"
    Result<std::uint64_t> append(const chunk::ChunkId& id, const chunk::Payload& payload,
                                 std::uint32_t plain_bytes, Content content);
    /// Writes what is open and waits until every pack is durable.
    Status finish();
    /// Makes every later call fail with this error, unless one failed before.
    void fail_with(const Error& error);
    [[nodiscard]] Status state() const;

private:
    static constexpr std::size_t packs_in_flight_max = 3;  // being hashed, put and synced
    static constexpr std::size_t packs_in_memory_max = 4;  // those, and one that is open

    struct Filling {
        Filling(const VaultCore& core, Content content, PackBuffer buffer)
            : pack(core, content, std::move(buffer)) {}
        OpenPack pack;
        std::size_t sealing = 0;  // reserved, not yet sealed
        bool retired = false;     // takes no more; goes to a writing thread once nobody seals
    };
    using FillingPtr = std::shared_ptr<Filling>;
    using Lock = std::unique_lock<std::mutex>;

    Result<FillingPtr> room_for(Lock& lock, const chunk::Payload& payload, Content content);
    /// Until a pack has left memory.
    Status wait_for_progress(Lock& lock);
    void retire(FillingPtr& filling);
    void sealed(const FillingPtr& filling);
    PackBuffer take_buffer();
    void write_packs();
    Status write(const FillingPtr& filling);

    const VaultCore& core_;
    OnDurable on_durable_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;  // a pack left memory, or something failed
    std::array<FillingPtr, 2> open_;   // by Content
    std::vector<PackBuffer> spare_;
    std::size_t in_memory_ = 0;  // packs, open or on their way
    std::size_t on_the_way_ = 0;
    std::uint64_t left_ = 0;  // packs that left memory: progress, for the stall limit
    std::optional<Error> broken_;
    env::BoundedQueue<FillingPtr> queue_{packs_in_memory_max};
    std::vector<std::thread> threads_;  // last: they use all of the above
};

}  // namespace stillpoint::vault
