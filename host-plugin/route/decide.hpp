#pragma once
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"
#include "route/point_document.hpp"
#include "vault/vault.hpp"

/// Decides, before anything is done, how every disk will be captured (I3). Pure.
namespace stillpoint::route {

/// A durable point of this VM in this vault.
struct Parent {
    vault::Point point;
    PointDocument document;
};

enum class ForceFull { no, yes };

/// When a disk is compared in full although tracking looks fine: what leaves no trace in it (a
/// shrink followed by a growth, a write past QEMU) is found then at the latest. Zero: not for that.
struct ComparePolicy {
    std::chrono::days age{30};     // since it was last read in full; spread over its last quarter
    std::uint64_t increments = 0;  // made since then
};

struct DecideInput {
    const hypervisor::VmInfo& vm;
    std::vector<Parent> history;  // as find_history gives it
    std::string vault_short_id;   // 8 hex digits
    vault::PointId point_id;
    std::vector<std::string> wanted_disks;  // empty: all
    ForceFull force_full = ForceFull::no;
    ComparePolicy compare;
    std::int64_t now_ns = 0;  // wall clock
};

struct DiskDecision {
    hypervisor::DiskInfo disk;
    serialization::DiskMode mode = serialization::DiskMode::full;
    std::string reason;                          // empty for an increment
    vault::PointId parent_point;                 // increment and compare
    std::optional<vault::DiskRoot> parent_root;  // increment and compare
    /// Increment: the parent point's other disks that began a bitmap there. It has the same name as
    /// this disk's, so that their images could stand in its place unnoticed.
    std::vector<vault::DiskRoot> namesakes;
    std::string parent_bitmap;  // increment, or a compare that does not trust a bitmap for ever
    std::string new_bitmap;
    std::int64_t read_whole_ns = 0;  // increment: when the disk was last read in full …
    std::uint64_t increments = 0;    // … and how many increments there are since, with this one
};

struct Decisions {
    std::vector<DiskDecision> disks;
    /// Bitmaps of this vault that belong to no durable point we use: to be removed first.
    std::map<std::string, std::vector<std::string>> orphans;
    std::vector<std::string> left_out;  // disks not captured, with the reason
    std::vector<std::string> skipped;   // likewise, but nobody wanted that: worth a warning
};

[[nodiscard]] std::string bitmap_name(const std::string& vault_short_id,
                                      const vault::PointId& point_id);

/// Why the bitmap that a point began cannot tell what was written to this disk since; empty: it
/// can.
[[nodiscard]] std::string doubt_about_tracking(const hypervisor::DiskInfo& disk,
                                               const DiskDocument& at_point);

/// @errors invalid, id "vm.no_such_disk" or "vm.no_disks" · refused, id "image.unreadable": a disk
///         that was asked for by name, or every disk, cannot be read as things are now
[[nodiscard]] Result<Decisions> decide_disks(const DecideInput& input);

/// The points that can be a parent of some disk: those of this VM that are the newest to hold a
/// disk of some name, newest first. A VM is known by its uuid; without one by label and the path of
/// at least one disk (a label alone proves nothing); so is one of which only images are at hand.
[[nodiscard]] std::vector<Parent> find_history(const hypervisor::VmInfo& vm,
                                               const std::vector<vault::Point>& points);

/// The uuid to record: where images alone are at hand, that of the points they continue.
[[nodiscard]] std::string uuid_of(const hypervisor::VmInfo& vm, const std::vector<Parent>& history);

}  // namespace stillpoint::route
