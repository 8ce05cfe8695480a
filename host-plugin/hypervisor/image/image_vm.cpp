#include "hypervisor/image/image_vm.hpp"

#include <unistd.h>

#include <set>

#include "hypervisor/image/image_snapshot.hpp"

namespace stillpoint::hypervisor {
namespace image {
namespace {

using serialization::Array;
using serialization::Map;

DiskInfo info_of(const KnownDisk& known) {
    DiskInfo info;
    info.name = known.disk.name;
    info.path = known.disk.path;
    info.format = known.disk.format;
    info.serial = known.disk.serial;
    info.serial_known = known.disk.serial_known;
    info.size = known.facts.size;
    info.read_only = known.disk.read_only;
    info.persistent_bitmaps = known.facts.persistent_bitmaps;
    info.bitmaps = known.facts.bitmaps;
    info.unreadable = known.facts.unreadable;
    return info;
}

}  // namespace

Result<VmInfo> ImageVm::inspect(const env::Deadline& deadline) {
    known_.clear();
    retire_.clear();
    VmInfo info;
    info.name = label_;
    info.uuid_known = false;
    info.state = VmState::shut_off;
    for (const ImageDisk& disk : disks_) {
        SP_ASSIGN(KnownDisk known, look(disk, deadline));
        info.disks.push_back(info_of(known));
        known_.push_back(std::move(known));
    }
    info.definition = definition();
    return info;
}

Result<KnownDisk> ImageVm::look(const ImageDisk& disk, const env::Deadline& deadline) const {
    KnownDisk known{.disk = disk, .facts = {}, .stamp = {}};
    known.facts.unreadable = disk.unreadable;
    if (disk.read_only || !disk.unreadable.empty()) return known;
    SP_ASSIGN(known.facts, look_at_image(disk, deadline));
    if (!known.facts.unreadable.empty()) return known;
    SP_ASSIGN(known.stamp, settled_stamp(known.facts.files, clock_, {}));
    SP_ASSIGN(const bool written, has_writer(disk.path));
    if (written) return fail(in_use(disk.name, disk.path));
    // An image that we may only read gets no bitmap, and the next backup compares.
    if (::access(disk.path.c_str(), W_OK) != 0) known.facts.persistent_bitmaps = false;
    return known;
}

std::string ImageVm::definition() const {
    Array images;
    for (const KnownDisk& known : known_) {
        images.push_back(Map{{"name", known.disk.name},
                             {"path", known.disk.path},
                             {"format", known.disk.format},
                             {"layers", known.facts.told}});
    }
    const Map document{{"driver", "image"}, {"label", label_}, {"images", std::move(images)}};
    return to_json(serialization::Value{document}, serialization::JsonStyle::indented);
}

Status ImageVm::remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                               const env::Deadline&) {
    for (const auto& [disk, bitmaps] : by_disk) {
        for (const std::string& name : bitmaps) {
            if (name.starts_with(our_bitmaps)) continue;
            return fail(Errc::invalid, "bitmap.foreign",
                        name + " of disk " + disk + " is no bitmap of ours");
        }
    }
    retire_ = by_disk;
    return {};
}

Result<std::unique_ptr<Snapshot>> ImageVm::plan_snapshot(const SnapshotPlan& plan) {
    SP_ASSIGN(std::vector<SessionDisk> disks, plan_disks(known_, plan, retire_));
    KeeperOrder order;
    order.label = label_;
    order.folder = plan.job_folder / "image";
    return std::unique_ptr<Snapshot>{
        std::make_unique<ImageSnapshot>(std::move(order), std::move(disks), clock_)};
}

Result<Configuration> ImageVm::configuration(const env::Deadline&) {
    using serialization::ConfigurationKind;
    const auto unknown = [](ConfigurationKind kind) {
        return ConfigurationPlace{.kind = kind,
                                  .obstacle =
                                      "--image names disks alone; whether the VM has this "
                                      "is not known",
                                  .known = ConfigurationPlace::Known::perhaps};
    };
    Configuration configuration;
    if (nvram_.empty()) {
        configuration.places.push_back(unknown(ConfigurationKind::nvram));
    } else {
        configuration.places.push_back({.kind = ConfigurationKind::nvram, .path = nvram_});
    }
    configuration.places.push_back(unknown(ConfigurationKind::tpm));
    return configuration;
}

}  // namespace image

namespace {

Result<std::string> whole_path(const std::string& given, const std::string& what,
                               const std::string& option) {
    std::error_code error;
    const env::Path whole = std::filesystem::canonical(given, error);
    if (!error) return whole.string();
    return fail(Errc::not_found, "image.missing",
                "the " + what + ", " + given + ", cannot be found: " + error.message(),
                "check the path after " + option);
}

}  // namespace

Result<std::unique_ptr<Vm>> open_image_vm(const std::string& label, ImageFiles files,
                                          const env::Clock& clock) {
    std::set<std::string> names;
    for (ImageDisk& disk : files.disks) {
        if (!names.insert(disk.name).second) {
            return fail(Errc::invalid, "image.twice", "two images are given for disk " + disk.name,
                        "give each disk a name of its own: --image NAME=PATH");
        }
        SP_ASSIGN(disk.path, whole_path(disk.path, "image of disk " + disk.name,
                                        "--image " + disk.name + "="));
    }
    if (!files.nvram.empty()) {
        SP_ASSIGN(files.nvram, whole_path(files.nvram, "file of UEFI variables", "--nvram "));
    }
    return std::unique_ptr<Vm>{std::make_unique<image::ImageVm>(label, std::move(files), clock)};
}

}  // namespace stillpoint::hypervisor
