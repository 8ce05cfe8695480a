#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "os/clock.hpp"

namespace stillpoint::linux_guest {

/// Where one filesystem is on its way. Only these moves exist:
///   idle → entering → frozen → thawed | lost | rescued        (freezer, on the agent's word)
///                   → refused | unsupported                   (nothing of ours to thaw)
///   idle → revoked                                            (rescuer: it can never be frozen
///   now) entering → rescued                                        (rescuer: the freezer died on
///   the way)
enum class Step : std::uint32_t {
    idle,
    entering,     // FIFREEZE was or is about to be called
    frozen,       // it returned 0: ours to thaw
    refused,      // it failed; EBUSY: somebody else holds it, never thaw that
    unsupported,  // the filesystem cannot freeze; it was synced instead
    thawed,       // our FITHAW returned 0: it was frozen until then
    lost,         // our FITHAW said EINVAL: somebody thawed it before us
    rescued,      // the rescuer made sure that it is not frozen
    revoked,      // will not be frozen any more
};

/// Why the rescuer acts.
enum class Trigger : std::uint32_t { none, deadline, heartbeat, agent_gone, abort, watchdog_gone };
[[nodiscard]] const char* text_of(Trigger trigger) noexcept;

/// One filesystem. Written by its freezer and its rescuer; times are boottime nanoseconds.
struct FreezeRow {
    std::atomic<Step> step{Step::idle};
    std::atomic<int> freeze_errno{0};
    std::atomic<int> sync_errno{0};
    std::atomic<std::int64_t> sync_begin_ns{0};
    std::atomic<std::int64_t> sync_end_ns{0};
    std::atomic<std::int64_t> freeze_begin_ns{0};
    std::atomic<std::int64_t> freeze_end_ns{0};
    std::atomic<std::int64_t> thaw_begin_ns{0};
    std::atomic<std::int64_t> thaw_end_ns{0};
    std::atomic<std::int64_t> writes_before{-1};  // device's write counter after the last sync
    std::atomic<std::int64_t> writes_after{-1};   // … and before the thaw
    std::uint32_t device_major = 0;               // which superblock; set before it is shared
    std::uint32_t device_minor = 0;
    std::int32_t level = 0;
};
static_assert(std::atomic<Step>::is_always_lock_free);
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

/// Memory that agent, freezers, watchdog and rescuers share; it outlives any of them, so that what
/// is known about a filesystem never depends on a message that a killed process did not send.
/// @threads any, in any of these processes
class FreezeTable {
public:
    /// @param file a file in memory (tmpfs) that holds the table, so that what is frozen is known
    /// even when every process has died; replaces an older one. Empty: none
    /// @errors io, no_space: no memory
    [[nodiscard]] static Result<FreezeTable> create(std::size_t rows, const std::string& file = {});
    /// The table that an earlier process left behind.
    /// @errors not_found: none · corrupt, id "freeze.state": not in this release's form
    [[nodiscard]] static Result<FreezeTable> open(const std::string& file);
    FreezeTable(FreezeTable&& other) noexcept;
    FreezeTable& operator=(FreezeTable&&) = delete;
    ~FreezeTable();
    [[nodiscard]] std::size_t size() const { return rows_; }
    [[nodiscard]] FreezeRow& row(std::size_t index) const;
    /// Set before the first FIFREEZE, cleared once every thaw is confirmed; while set, a rescuer
    /// acts.
    [[nodiscard]] std::atomic<bool>& armed() const;
    /// The first reason for a rescue.
    [[nodiscard]] std::atomic<Trigger>& trigger() const;

private:
    struct Head {
        std::uint64_t form = 0;  // says that the rest is as this release lays it out
        std::uint64_t rows = 0;
        std::atomic<bool> armed{false};
        std::atomic<Trigger> trigger{Trigger::none};
    };
    static constexpr std::size_t head_bytes = 64;  // rows start on a cache line of their own
    static Result<FreezeTable> map(int fd, std::size_t rows);
    FreezeTable(void* memory, std::size_t bytes, std::size_t rows)
        : memory_(memory), bytes_(bytes), rows_(rows) {}
    void* memory_;
    std::size_t bytes_;
    std::size_t rows_;
};

/// @return whether it was in `from`; if not, somebody else decided first and nothing changes
inline bool try_move(FreezeRow& row, Step from, Step to) noexcept {
    return row.step.compare_exchange_strong(from, to);
}

/// Nothing more will happen to it and it is not frozen by us.
[[nodiscard]] constexpr bool settled(Step step) noexcept {
    return step != Step::idle && step != Step::entering && step != Step::frozen;
}

}  // namespace stillpoint::linux_guest
