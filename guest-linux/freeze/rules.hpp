#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "freeze/mountinfo.hpp"
#include "os/clock.hpp"

namespace stillpoint::linux_guest {

/// What a filesystem carries in its superblock.
struct Identity {
    std::string uuid;   // lower case as blkid prints it; empty: unknown
    std::string label;  // empty: none or unknown
    friend bool operator==(const Identity&, const Identity&) = default;
};

/// Names filesystems in guest.xml.
struct Pattern {
    enum class By { path, glob, uuid, label, type };
    By by = By::path;
    std::string text;
    /// For people: `path="/mnt/scratch"`.
    [[nodiscard]] std::string shown() const;
    friend bool operator==(const Pattern&, const Pattern&) = default;
};
[[nodiscard]] std::string_view name_of(Pattern::By by) noexcept;

/// One mount that may take less, or more, of the budget than the others.
struct MountBudget {
    Pattern which;
    os::Nanoseconds budget{};
};

/// What to do about a filesystem that cannot be held still.
enum class FreezeMode {
    best_effort,  // the others are, and the recovery point is partial
    strict,       // then nothing is
};

/// What the administrator wants frozen and left alone.
struct FreezeRules {
    std::vector<Pattern> include;  // empty: everything
    std::vector<Pattern> exclude;  // wins over include
    FreezeMode mode = FreezeMode::best_effort;
    os::Nanoseconds mount_budget{};    // longest FIFREEZE of one filesystem; 0: the whole budget
    std::vector<MountBudget> budgets;  // the first that matches counts

    /// Whether UUIDs or labels must be known to apply them.
    [[nodiscard]] bool need_identity() const;
};

/// Whether a pattern names the filesystem with these mounts. A path or glob matches any of its
/// mount points; `*` in a glob does not match "/". UUIDs are compared without regard to case.
/// @param mounts all of one superblock, at least one
[[nodiscard]] bool matches(const Pattern& pattern, const std::vector<const Mount*>& mounts,
                           const Identity& identity);

}  // namespace stillpoint::linux_guest
