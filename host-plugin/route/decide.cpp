#include "route/decide.hpp"

#include <algorithm>
#include <set>

#include "route/reasons.hpp"

namespace stillpoint::route {
namespace {

using hypervisor::BitmapInfo;
using hypervisor::BitmapState;
using hypervisor::DiskInfo;
using serialization::DiskMode;

template <class Items, class Name>
auto* find_named(Items& items, const std::string& name, Name name_of) {
    const auto found = std::find_if(items.begin(), items.end(),
                                    [&](const auto& item) { return name_of(item) == name; });
    return found == items.end() ? nullptr : &*found;
}

const DiskDocument* document_of(const Parent& parent, const std::string& disk) {
    return find_named(parent.document.disks, disk, [](const DiskDocument& d) { return d.name; });
}

const vault::DiskRoot* root_of(const Parent& parent, const std::string& disk) {
    return find_named(parent.point.disks, disk, [](const vault::DiskRoot& d) { return d.disk; });
}

bool holds(const Parent& parent, const std::string& disk) {
    return document_of(parent, disk) != nullptr && root_of(parent, disk) != nullptr;
}

const BitmapInfo* bitmap_of(const DiskInfo& disk, const std::string& name) {
    return find_named(disk.bitmaps, name, [](const BitmapInfo& b) { return b.name; });
}

/// A serial that nobody tells, then or now, proves nothing; all else must agree.
bool same_disk(const DiskInfo& disk, const DiskDocument& before) {
    if (disk.serial_known && before.serial_known) return disk.identity() == before.identity;
    return disk.name == before.name && disk.path == before.path && disk.format == before.format;
}

/// Why tracking cannot be trusted for this disk; empty: it can.
std::string distrust(const DiskInfo& disk, const DiskDocument& before, const BitmapInfo* bitmap) {
    if (!same_disk(disk, before)) {
        return why_replaced(disk, before);
    }
    if (disk.size.raw() < before.size) {
        return "the disk shrank from " + std::to_string(before.size) + " bytes";
    }
    if (bitmap == nullptr || bitmap->state == BitmapState::absent) {
        return why_missing(disk, before.new_bitmap);
    }
    if (bitmap->state == BitmapState::inconsistent) {
        return "the dirty bitmap is inconsistent: QEMU was not shut down cleanly";
    }
    if (bitmap->state == BitmapState::disabled) {
        return "the dirty bitmap does not record: somebody switched it off";
    }
    return {};
}

/// When the disk was last read in full, as its newest point remembers. Points of older versions
/// tell only about themselves: the time then counts from them.
std::int64_t read_whole_ns(const Parent& parent, const DiskDocument& disk) {
    return disk.read_whole_ns != 0 ? disk.read_whole_ns : parent.document.time_ns;
}

/// VMs that were first backed up on one day shall not all be compared on one day: each disk has a
/// place of its own in the last quarter before the age is reached.
env::Nanoseconds spread(const DecideInput& input, const DiskInfo& disk) {
    constexpr std::uint64_t places = 1024, fnv_offset = 0xcbf29ce484222325,
                            fnv_prime = 0x100000001b3;
    std::uint64_t hash = fnv_offset;
    for (const char c : input.vm.uuid + "\n" + input.vm.name + "\n" + disk.name) {
        hash = (hash ^ static_cast<unsigned char>(c)) * fnv_prime;
    }
    constexpr int quarter = 4;
    const env::Nanoseconds width = env::Nanoseconds{input.compare.age} / quarter;
    return width / places * static_cast<std::int64_t>((hash >> 32) % places);
}

/// Why the disk is to be read in full although tracking looks fine; empty: it need not be.
std::string periodic(const DecideInput& input, const DiskInfo& disk, const Parent& parent) {
    const DiskDocument& before = *document_of(parent, disk.name);
    const ComparePolicy& policy = input.compare;
    if (policy.increments != 0 && before.increments >= policy.increments) {
        return "periodic compare: " + std::to_string(before.increments) +
               " increments since the disk was last read in full";
    }
    if (policy.age.count() == 0) return {};
    const env::Nanoseconds age{input.now_ns - read_whole_ns(parent, before)};
    // A time in the future was written by a clock that was wrong: it proves nothing.
    const bool due = age < -std::chrono::days{1} || age >= policy.age - spread(input, disk);
    if (!due) return {};
    const auto days = std::chrono::duration_cast<std::chrono::days>(age).count();
    return "periodic compare: the disk was last read in full " + std::to_string(days) + " days ago";
}

std::vector<vault::DiskRoot> namesakes_of(const DiskInfo& disk, const Parent& parent) {
    std::vector<vault::DiskRoot> namesakes;
    for (const vault::DiskRoot& root : parent.point.disks) {
        const DiskDocument* other = document_of(parent, root.disk);
        const bool tracked = other != nullptr && !other->new_bitmap.empty();
        if (tracked && root.disk != disk.name) namesakes.push_back(root);
    }
    return namesakes;
}

DiskDecision decide_one(const DecideInput& input, const DiskInfo& disk) {
    DiskDecision decision{.disk = disk,
                          .mode = DiskMode::full,
                          .reason = {},
                          .parent_point = {},
                          .parent_root = {},
                          .namesakes = {},
                          .parent_bitmap = {},
                          .new_bitmap = {}};
    if (disk.persistent_bitmaps || disk.transient_bitmaps) {
        decision.new_bitmap = bitmap_name(input.vault_short_id, input.point_id);
    }
    if (input.force_full == ForceFull::yes) {
        decision.reason = "a full backup was asked for";
        return decision;
    }
    const auto parent = std::find_if(input.history.begin(), input.history.end(),
                                     [&](const Parent& p) { return holds(p, disk.name); });
    if (parent == input.history.end()) {
        decision.reason =
            input.history.empty() ? "first backup of this VM in this vault" : "the disk is new";
        return decision;
    }
    const std::string expected = bitmap_name(input.vault_short_id, parent->point.id);
    decision.parent_point = parent->point.id;
    decision.parent_root = *root_of(*parent, disk.name);
    const DiskDocument& before = *document_of(*parent, disk.name);
    decision.reason = distrust(disk, before, bitmap_of(disk, expected));
    if (decision.reason.empty()) {
        // Good until proven otherwise: it is retired when the new point is durable (I2).
        decision.parent_bitmap = expected;
        decision.reason = periodic(input, disk, *parent);
    }
    if (!disk.serial_known && same_disk(disk, before)) {
        // Kept for the next run that knows it: another one then is another disk.
        decision.disk.serial = before.serial;
        decision.disk.serial_known = before.serial_known;
    }
    decision.mode = decision.reason.empty() ? DiskMode::increment : DiskMode::compare;
    if (decision.mode == DiskMode::increment) {
        decision.namesakes = namesakes_of(disk, *parent);
        decision.read_whole_ns = read_whole_ns(*parent, before);
        decision.increments = before.increments + 1;
    }
    return decision;
}

/// The bitmap that a later increment can build on, also when this backup does not: should it fail,
/// nothing is lost (I2).
std::string good_bitmap(const DecideInput& input, const DiskInfo& disk) {
    const auto parent = std::find_if(input.history.begin(), input.history.end(),
                                     [&](const Parent& p) { return holds(p, disk.name); });
    if (parent == input.history.end()) return {};
    const std::string name = bitmap_name(input.vault_short_id, parent->point.id);
    const std::string doubt =
        distrust(disk, *document_of(*parent, disk.name), bitmap_of(disk, name));
    return doubt.empty() ? name : std::string{};
}

std::vector<std::string> orphans_on(const DiskInfo& disk, const std::string& vault_short_id,
                                    const std::string& kept) {
    const std::string prefix = "stillpoint-" + vault_short_id + "-";
    std::vector<std::string> names;
    for (const BitmapInfo& bitmap : disk.bitmaps) {
        if (bitmap.name.starts_with(prefix) && bitmap.name != kept) names.push_back(bitmap.name);
    }
    return names;
}

bool same_vm(const hypervisor::VmInfo& vm, const vault::Point& point,
             const PointDocument& document) {
    const bool known = vm.uuid_known && document.uuid_known;
    if (known && !(vm.uuid.empty() && point.vm_uuid.empty())) return vm.uuid == point.vm_uuid;
    if (vm.name != point.vm_name) return false;
    return std::any_of(vm.disks.begin(), vm.disks.end(), [&](const DiskInfo& disk) {
        return std::any_of(document.disks.begin(), document.disks.end(),
                           [&](const DiskDocument& d) { return d.path == disk.path; });
    });
}

}  // namespace

std::string bitmap_name(const std::string& vault_short_id, const vault::PointId& point_id) {
    return "stillpoint-" + vault_short_id + "-" + point_id;
}

std::string doubt_about_tracking(const DiskInfo& disk, const DiskDocument& at_point) {
    return distrust(disk, at_point, bitmap_of(disk, at_point.new_bitmap));
}

Result<Decisions> decide_disks(const DecideInput& input) {
    std::string unreadable;
    for (const std::string& name : input.wanted_disks) {
        if (find_named(input.vm.disks, name, [](const DiskInfo& d) { return d.name; }) == nullptr) {
            return fail(Errc::invalid, "vm.no_such_disk",
                        "VM " + input.vm.name + " has no disk " + name,
                        "leave out --disk to back up all disks");
        }
    }
    Decisions decisions;
    for (const DiskInfo& disk : input.vm.disks) {
        if (vault::is_attachment(disk.name)) {
            return fail(Errc::invalid, "vault.disk_name",
                        "'" + disk.name + "' cannot be the name of a disk in a vault",
                        "give the disk a name that does not begin with @");
        }
        const bool wanted = input.wanted_disks.empty() ||
                            std::find(input.wanted_disks.begin(), input.wanted_disks.end(),
                                      disk.name) != input.wanted_disks.end();
        if (!wanted || disk.read_only) {
            decisions.left_out.push_back(disk.name + (wanted ? ": read-only" : ": not asked for"));
            continue;
        }
        if (!disk.unreadable.empty()) {
            unreadable = disk.name + ": " + disk.unreadable;
            decisions.left_out.push_back(unreadable);
            decisions.skipped.push_back(unreadable);
            continue;
        }
        decisions.disks.push_back(decide_one(input, disk));
        auto orphans = orphans_on(disk, input.vault_short_id, good_bitmap(input, disk));
        if (!orphans.empty()) decisions.orphans[disk.name] = std::move(orphans);
    }
    if (!unreadable.empty() && (decisions.disks.empty() || !input.wanted_disks.empty())) {
        return fail(Errc::refused, "image.unreadable", "disk " + unreadable,
                    "back the VM up while it runs, or leave this disk out with --disk");
    }
    if (decisions.disks.empty()) {
        return fail(Errc::invalid, "vm.no_disks", "VM " + input.vm.name + " has no writable disk",
                    "attach a disk, or choose one with --disk");
    }
    return decisions;
}

std::string uuid_of(const hypervisor::VmInfo& vm, const std::vector<Parent>& history) {
    if (vm.uuid_known || history.empty()) return vm.uuid;
    return history.front().point.vm_uuid;
}

std::vector<Parent> find_history(const hypervisor::VmInfo& vm,
                                 const std::vector<vault::Point>& points) {
    std::vector<Parent> history;
    std::set<std::string> seen;
    for (auto point = points.rbegin(); point != points.rend(); ++point) {
        auto document = decode_point_document(point->document);
        // A point that cannot be read is no base to build on; check reports it as damage.
        if (!document || !same_vm(vm, *point, *document)) continue;
        bool newest_of_some = false;
        for (const vault::DiskRoot& disk : point->disks) {
            if (vault::is_attachment(disk.disk)) continue;
            newest_of_some = seen.insert(disk.disk).second || newest_of_some;
        }
        if (newest_of_some) history.push_back({*point, std::move(*document)});
    }
    return history;
}

}  // namespace stillpoint::route
