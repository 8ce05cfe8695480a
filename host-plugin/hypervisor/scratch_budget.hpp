#pragma once
#include <algorithm>
#include <optional>
#include <string>

#include "base/quantity.hpp"

namespace stillpoint::hypervisor {

/// How far the scratch of one snapshot may grow. The filesystem below may be shared with other
/// backups, each with a budget of its own, so what is free counts at every look. Pure.
class ScratchBudget {
public:
    /// What is left for the guest while the backup is being given up.
    enum class Headroom {
        half,  // the guest stops when scratch is full (I6): half of the budget is its headroom
        none,  // scratch that is full breaks the snapshot and nothing else
    };
    struct Room {
        ByteCount free;                       // of the filesystem, when the snapshot was prepared
        std::optional<ByteCount> configured;  // the most that may be used of it
    };
    ScratchBudget(const Room& room, Headroom headroom, std::size_t disks);

    /// @param used by this snapshot's scratch @param free of the filesystem, both by now
    /// @return whether the backup must be given up. Of several that share a filesystem the one that
    ///         holds as much as is left goes: together they never fill it.
    [[nodiscard]] bool exceeded(ByteCount used, ByteCount free) const {
        return used.raw() >= limit_.raw() || free.raw() <= least_free(used);
    }
    /// For people: what was exceeded. @param where the scratch folder
    [[nodiscard]] std::string complaint(const std::string& where, ByteCount used,
                                        ByteCount free) const;
    /// @param file the size of one disk's scratch file by now
    /// @return its size at which QEMU should call next: the rest up to the limit is shared by all
    ///         disks, since any of them may grow first
    [[nodiscard]] ByteCount next_threshold(ByteCount used, ByteCount free, ByteCount file) const;
    [[nodiscard]] ByteCount limit() const { return limit_; }

    static constexpr std::uint64_t step_bytes_min = 256u << 10;  // fewer alarms near the limit
    static constexpr std::uint64_t free_bytes_min = 16u << 20;   // less protects no guest at all
    static constexpr std::uint64_t least_free_bytes = 4u << 20;  // with less, nobody goes on

private:
    [[nodiscard]] std::uint64_t least_free(ByteCount used) const {
        const std::uint64_t share = headroom_ == Headroom::half ? used.raw() : used.raw() / 8;
        return std::max(share, least_free_bytes);
    }
    Headroom headroom_;
    ByteCount limit_;
    std::uint64_t disks_;
};

inline ScratchBudget::ScratchBudget(const Room& room, Headroom headroom, std::size_t disks)
    : headroom_(headroom),
      limit_(std::min(room.free, room.configured.value_or(room.free))),
      disks_(std::max<std::uint64_t>(disks, 1)) {
    if (headroom == Headroom::half) limit_ = ByteCount{limit_.raw() / 2};
}

inline ByteCount ScratchBudget::next_threshold(ByteCount used, ByteCount free,
                                               ByteCount file) const {
    const auto minus = [](std::uint64_t a, std::uint64_t b) { return a - std::min(a, b); };
    // What we write is used and no longer free: both sides of the comparison move.
    const std::uint64_t left =
        std::min(minus(limit_.raw(), used.raw()), minus(free.raw(), least_free(used)) / 2);
    return file + ByteCount{std::max(left / disks_, step_bytes_min)};
}

inline std::string ScratchBudget::complaint(const std::string& where, ByteCount used,
                                            ByteCount free) const {
    const auto mib = [](ByteCount bytes) { return std::to_string(bytes.raw() >> 20) + " MiB"; };
    if (used.raw() >= limit_.raw()) {
        return "the scratch space in " + where + " is used up to its limit of " + mib(limit_);
    }
    return "the scratch space in " + where + " holds " + mib(used) + " and only " + mib(free) +
           " are left there";
}

}  // namespace stillpoint::hypervisor
