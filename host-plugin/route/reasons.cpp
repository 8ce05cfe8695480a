#include "route/reasons.hpp"

namespace stillpoint::route {
namespace {

using hypervisor::BitmapInfo;
using hypervisor::BitmapState;
using hypervisor::DiskInfo;

std::string described(const std::string& path, const std::string& format) {
    return path + " (" + format + ")";
}

// Names of one vault differ in the point's id alone, and ids grow with time.
BitmapState best_of_earlier(const DiskInfo& disk, const std::string& name) {
    BitmapState best = BitmapState::absent;
    const std::string prefix = name.substr(0, name.rfind('-') + 1);
    for (const BitmapInfo& bitmap : disk.bitmaps) {
        if (!bitmap.name.starts_with(prefix) || bitmap.name >= name) continue;
        if (best != BitmapState::usable) best = bitmap.state;
    }
    return best;
}

}  // namespace

std::string why_replaced(const DiskInfo& disk, const DiskDocument& before) {
    const std::string text = "the disk was replaced";
    if (disk.path != before.path) {
        return text + ": it was " + described(before.path, before.format) + " and is " +
               described(disk.path, disk.format);
    }
    if (disk.format != before.format) {
        return text + ": its format was " + before.format + " and is " + disk.format;
    }
    if (disk.serial != before.serial) {
        const auto shown = [](const std::string& serial) {
            return serial.empty() ? std::string{"none"} : serial;
        };
        return text + ": its serial number was " + shown(before.serial) + " and is " +
               shown(disk.serial);
    }
    return text;
}

std::string why_missing(const DiskInfo& disk, const std::string& name) {
    if (!disk.persistent_bitmaps && !disk.transient_bitmaps) {
        return "no dirty bitmap: this hypervisor keeps none for " + disk.format + " images";
    }
    if (!disk.persistent_bitmaps) {
        const std::string version =
            disk.format == "qcow2" ? " of version 2 (compat=0.10)" : std::string{};
        return "no dirty bitmap: " + disk.format + " images" + version +
               " keep none while QEMU is off";
    }
    if (disk.size.raw() == 0) return "no dirty bitmap: an empty disk keeps none while QEMU is off";
    const std::string gone = "the dirty bitmap of the last point is gone";
    const BitmapState earlier = best_of_earlier(disk, name);
    if (earlier == BitmapState::usable) {
        return gone + ", an earlier one is there: the image was put back to an older state";
    }
    const bool died = earlier == BitmapState::inconsistent;
    return gone + ": QEMU was not shut down cleanly" + (died ? "" : ", or somebody removed it");
}

}  // namespace stillpoint::route
