#include "freeze/open_target.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <optional>

namespace stillpoint::linux_guest {
namespace {

constexpr std::size_t fdinfo_bytes_max = 64u << 10;

/// The id of the mount a descriptor was opened through; nullopt before Linux 3.15.
std::optional<int> mount_id_of(int fd) {
    const auto info = os::read_file("/proc/self/fdinfo/" + std::to_string(fd), fdinfo_bytes_max);
    if (!info) return std::nullopt;
    constexpr std::string_view key = "mnt_id:";
    const std::size_t at = info->find(key);
    if (at == std::string::npos) return std::nullopt;
    return std::atoi(info->c_str() + at + key.size());
}

bool leads_to(int fd, const Mount& mount) {
    if (const auto id = mount_id_of(fd)) return *id == mount.id;
    struct stat root {};
    if (::fstat(fd, &root) != 0) return false;
    // btrfs gives every subvolume a device number of its own: nothing to compare with.
    if (mount.device.major == 0) return major(root.st_dev) == 0;
    return DeviceId{major(root.st_dev), minor(root.st_dev)} == mount.device;
}

}  // namespace

Result<OpenTarget> open_target(const Target& target) {
    std::string problem = "it has no mount point to open";
    for (const Mount& mount : target.candidates) {
        os::UniqueFd folder{::open(mount.point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        if (!folder.valid()) {
            problem = os::os_error("open " + mount.point, errno).text;
            continue;
        }
        if (!leads_to(folder.get(), mount)) {
            problem = mount.point + " leads to another filesystem now";
            continue;
        }
        OpenTarget opened{target, std::move(folder), {}};
        opened.target.name = mount.point;
        for (const DeviceId device : target.stat_devices) {
            const std::string path = "/sys/dev/block/" + device.text() + "/stat";
            os::UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
            if (file.valid()) opened.stat_files.push_back(std::move(file));
        }
        // A counter that is missing would hide writes: then none is used.
        if (opened.stat_files.size() != target.stat_devices.size()) opened.stat_files.clear();
        return opened;
    }
    return fail(Errc::not_found, "freeze.open", target.name + ": " + problem);
}

}  // namespace stillpoint::linux_guest
