#include "freeze/open_target.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <optional>

#include "freeze/open_hidden.hpp"

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

bool is_on(int fd, DeviceId device) {
    struct stat file {};
    return ::fstat(fd, &file) == 0 && DeviceId{major(file.st_dev), minor(file.st_dev)} == device;
}

/// @errors not_found, id "freeze.open"; others of opening it
Result<os::UniqueFd> open_candidate(const Candidate& candidate) {
    const Mount& mount = candidate.mount;
    if (candidate.reach == Candidate::Reach::hidden) return open_hidden(mount);
    const bool handle = candidate.reach == Candidate::Reach::handle;
    const std::string path = mount.via + mount.point;
    const bool elsewhere = handle || !mount.via.empty();
    SP_ASSIGN(os::UniqueFd folder, elsewhere ? open_elsewhere(path) : open_for_freeze(path));
    const bool right = handle ? is_on(folder.get(), mount.device) : leads_to(folder.get(), mount);
    if (right) return folder;
    return fail(Errc::not_found, "freeze.open", path + " leads to another filesystem now");
}

}  // namespace

Result<OpenTarget> open_target(const Target& target) {
    std::string problem = "it has no mount point to open";
    for (const Candidate& candidate : target.candidates) {
        auto folder = open_candidate(candidate);
        if (!folder) {
            problem = folder.error().text;
            continue;
        }
        OpenTarget opened{target, *std::move(folder), {}};
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
