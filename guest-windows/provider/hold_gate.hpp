#pragma once
#include <array>
#include <atomic>
#include <cstddef>

#include "os/event.hpp"

namespace stillpoint::windows_guest {

/// VSS holds all writes for ten seconds at most; who holds longer fails the snapshot. So the guest
/// ends its hold by itself before, also when nobody says thaw (I4).
inline constexpr os::nanoseconds hold_limit = std::chrono::milliseconds{7500};
inline constexpr os::nanoseconds vss_holds_at_most = std::chrono::seconds{10};
static_assert(hold_limit < std::chrono::seconds{8} && hold_limit < vss_holds_at_most);

/// Where the snapshot provider and the agent meet. While Windows holds its writes, the provider's
/// thread waits in `hold`: no file, no log, no memory is touched there, because whatever needs the
/// disk would wait for its own end.
/// @threads arm, limit, release, disarm: the agent's; begin, freezing, hold: VSS's; others: any
class HoldGate {
public:
    using SetId = std::array<std::byte, 16>;  // VSS's id of one snapshot set
    enum class End {
        none,      // not held yet, or held now
        released,  // the agent asked for it
        expired,   // the limit passed
    };
    /// @param wake is set when the hold begins and when it ends
    explicit HoldGate(os::Event& wake) : wake_(wake) {}

    /// From here on snapshots are ours; before, the provider knows no volume.
    void arm() noexcept;
    /// How long the next hold lasts at most. @param limit at most hold_limit
    void limit(os::nanoseconds limit) noexcept;
    void disarm() noexcept;
    [[nodiscard]] bool armed() const noexcept { return armed_.load(); }

    /// BeginPrepareSnapshot: from here on only this set counts. @return false: not armed
    bool begin(const SetId& set) noexcept;
    /// PreCommitSnapshots: the applications are frozen, the hold comes next.
    void freezing(const SetId& set) noexcept;
    /// CommitSnapshots: waits for release. @return false: veto the snapshot
    bool hold(const SetId& set) noexcept;

    /// Ends the hold; one that has not begun is vetoed as soon as it does.
    void release() noexcept;

    [[nodiscard]] bool holding() const noexcept { return holding_.load(); }
    [[nodiscard]] End end() const noexcept { return end_.load(); }
    /// Zero: not yet.
    [[nodiscard]] os::nanoseconds first_freeze() const noexcept { return at(first_freeze_); }
    [[nodiscard]] os::nanoseconds frozen() const noexcept { return at(frozen_); }
    [[nodiscard]] os::nanoseconds thawed() const noexcept { return at(thawed_); }

private:
    using Stamp = std::atomic<os::nanoseconds::rep>;
    static os::nanoseconds at(const Stamp& stamp) noexcept { return os::nanoseconds{stamp.load()}; }
    [[nodiscard]] bool is_ours(const SetId& set) const noexcept;

    os::Event& wake_;
    os::Event released_;
    std::atomic<bool> armed_{false};
    std::atomic<bool> closed_{false};
    std::atomic<bool> holding_{false};
    std::atomic<End> end_{End::none};
    Stamp limit_{hold_limit.count()};
    Stamp first_freeze_{0};
    Stamp frozen_{0};
    Stamp thawed_{0};
    std::array<std::atomic<std::byte>, 16> set_{};
};

}  // namespace stillpoint::windows_guest
