#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace stillpoint::linux_guest {

inline constexpr std::size_t mountinfo_bytes_max = 16u << 20;  // some 100,000 mounts

/// A device number as the kernel prints it, "major:minor".
struct DeviceId {
    std::uint32_t major = 0;
    std::uint32_t minor = 0;
    friend auto operator<=>(const DeviceId&, const DeviceId&) = default;
    /// @return "major:minor"
    [[nodiscard]] std::string text() const;
    /// @return nullopt when the text is not exactly two decimal numbers around a colon
    [[nodiscard]] static std::optional<DeviceId> parse(std::string_view text);
};

/// One line of mountinfo; texts are unescaped.
/// @source Linux Documentation/filesystems/proc.rst, section 3.5
struct Mount {
    int id = 0;
    int parent = 0;
    DeviceId device;    // field 3: the superblock; unlike st_dev it is right for btrfs too
    std::string root;   // what of the filesystem is seen here; "/" unless a bind mount or subvolume
    std::string point;  // where
    std::string type;   // e.g. ext4
    std::string source;         // e.g. /dev/vda1; only a hint
    std::string super_options;  // after the " - ": of the superblock, not of this mount
    std::string via;  // put in front of `point` to open it from here: /proc/PID/root; usually empty

    /// Judged on the superblock: a read-only bind mount of a writable filesystem is writable.
    [[nodiscard]] bool read_only() const;
    /// @return the value of `key=` in the superblock's options, unescaped; nullopt: none
    [[nodiscard]] std::optional<std::string> super_option(std::string_view key) const;
};

/// All mounts of one namespace, and the walk of a path through them without touching any file.
class MountTable {
public:
    /// @errors corrupt, id "freeze.mountinfo": a line that is not in the kernel's form, with its
    /// number
    [[nodiscard]] static Result<MountTable> parse(std::string_view text);
    [[nodiscard]] const std::vector<Mount>& mounts() const { return mounts_; }
    /// Says that all of them are seen from outside, through the root folder of a process.
    void seen_through(const std::string& process_root);
    /// The mounts an absolute path without "..", "." and links leads through, the last one holding
    /// its end. Empty when the path is not absolute or there is no root.
    [[nodiscard]] std::vector<const Mount*> walk(std::string_view path) const;
    /// False when another mount covers it or a parent of it: its path leads elsewhere.
    [[nodiscard]] bool visible(const Mount& mount) const;

private:
    /// Adds the mounts stacked at `path` on the last one walked.
    void climb(std::vector<const Mount*>& walked, std::string_view path) const;
    [[nodiscard]] const Mount* root() const;
    std::vector<Mount> mounts_;
    std::multimap<std::pair<int, std::string>, std::size_t>
        children_;  // parent's id and mount point -> indexes into mounts_
    std::set<int> ids_;
};

/// Undoes the kernel's \ooo (three octal digits); anything else stays as it is.
[[nodiscard]] std::string unescape_octal(std::string_view text);

}  // namespace stillpoint::linux_guest
