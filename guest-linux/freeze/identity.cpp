#include "freeze/identity.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "freeze/plan.hpp"
#include "os/process.hpp"
#include "os/waiter.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::Nanoseconds;

constexpr Nanoseconds read_max = std::chrono::seconds{2};
constexpr std::size_t record_bytes_max = 64u << 10;

std::uint8_t byte_at(std::string_view text, std::size_t at) {
    return static_cast<std::uint8_t>(text[at]);
}

std::string uuid_at(std::string_view head, std::size_t at) {
    std::string text;
    for (std::size_t i = 0; i < 16; ++i) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", byte_at(head, at + i));
        if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        text += digits;
    }
    return text;
}

/// A text of at most `length` bytes that ends at its first zero.
std::string text_at(std::string_view head, std::size_t at, std::size_t length) {
    std::string text{head.substr(at, length)};
    text.resize(std::min(text.find('\0'), text.size()));
    return text;
}

/// @source Linux fs/ext4/ext4.h, struct ext4_super_block, at byte 1024
std::optional<Identity> identify_ext(std::string_view head) {
    constexpr std::size_t base = 1024;
    if (head.size() < base + 0x88 || head.substr(base + 0x38, 2) != "\x53\xef") return std::nullopt;
    return Identity{uuid_at(head, base + 0x68), text_at(head, base + 0x78, 16)};
}

/// @source Linux fs/xfs/libxfs/xfs_format.h, struct xfs_dsb
std::optional<Identity> identify_xfs(std::string_view head) {
    if (head.size() < 120 || !head.starts_with("XFSB")) return std::nullopt;
    return Identity{uuid_at(head, 32), text_at(head, 108, 12)};
}

/// @source Linux fs/btrfs/ctree.h, struct btrfs_super_block, at byte 65536
std::optional<Identity> identify_btrfs(std::string_view head) {
    constexpr std::size_t base = 64u << 10;
    if (head.size() < base + 0x12b + 256 || head.substr(base + 0x40, 8) != "_BHRfS_M")
        return std::nullopt;
    return Identity{uuid_at(head, base + 0x20), text_at(head, base + 0x12b, 256)};
}

/// @source Microsoft, FAT32 File System Specification 1.03, "Boot Sector and BPB Structure"
std::optional<Identity> identify_fat(std::string_view head) {
    if (head.size() < 512 || head.substr(510, 2) != "\x55\xaa") return std::nullopt;
    const bool wide = head.substr(82, 8) == "FAT32   ";
    const bool narrow = head.substr(54, 4) == "FAT1";
    if (!wide && !narrow) return std::nullopt;
    const std::size_t serial = wide ? 67 : 39;
    char text[10];
    std::snprintf(text, sizeof text, "%02x%02x-%02x%02x", byte_at(head, serial + 3),
                  byte_at(head, serial + 2), byte_at(head, serial + 1), byte_at(head, serial));
    std::string label = text_at(head, serial + 4, 11);
    label.resize(label.find_last_not_of(' ') + 1);
    return Identity{text, label == "NO NAME" ? "" : label};
}

/// udev writes what is not plain as \xHH.
std::string unescape_udev(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned value = 0;
        if (text.substr(i, 2) == "\\x" && i + 4 <= text.size() &&
            std::sscanf(std::string(text.substr(i + 2, 2)).c_str(), "%2x", &value) == 1) {
            out.push_back(static_cast<char>(value));
            i += 3;
        } else {
            out.push_back(text[i]);
        }
    }
    return out;
}

std::string trimmed(std::string text) {
    while (text.ends_with('\n')) text.pop_back();
    return text;
}

/// A btrfs' UUID is the name of its folder in sysfs, below which its devices are listed.
std::optional<Identity> btrfs_identity(const std::vector<std::string>& device_names,
                                       const std::string& sysfs) {
    std::error_code error;
    const std::filesystem::path folder = sysfs + "/fs/btrfs";
    for (std::filesystem::directory_iterator at{folder, error}, end; !error && at != end;
         at.increment(error)) {
        const auto holds = [&](const std::string& name) {
            std::error_code ignored;
            return std::filesystem::exists(at->path() / "devices" / name, ignored);
        };
        if (!std::ranges::any_of(device_names, holds)) continue;
        const auto label = os::read_file(at->path() / "label", record_bytes_max);
        return Identity{at->path().filename(), trimmed(label.value_or(""))};
    }
    return std::nullopt;
}

/// In the child: reads one device's beginning into the pipe.
int send_head(const std::string& node, DeviceId device, int pipe_fd) {
    const os::UniqueFd file{::open(node.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    struct stat found {};
    if (!file.valid() || ::fstat(file.get(), &found) != 0 || !S_ISBLK(found.st_mode)) return 1;
    if (DeviceId{major(found.st_rdev), minor(found.st_rdev)} != device) return 1;
    std::string head(superblock_bytes, '\0');
    const ssize_t got = ::pread(file.get(), head.data(), head.size(), 0);
    std::size_t sent = 0;
    while (got > 0 && sent < static_cast<std::size_t>(got)) {
        const ssize_t wrote =
            ::write(pipe_fd, head.data() + sent, static_cast<std::size_t>(got) - sent);
        if (wrote <= 0) return 1;
        sent += static_cast<std::size_t>(wrote);
    }
    return 0;
}

/// Reads a device's beginning in a child: a read of dead storage cannot be interrupted.
std::optional<Identity> probe(const std::string& node, DeviceId device, Nanoseconds until) {
    auto pipe = os::make_pipe();
    if (!pipe) return std::nullopt;
    const std::array keep{pipe->second.get()};
    const auto child =
        os::fork_child("sp-identify", keep, [&] { return send_head(node, device, keep[0]); });
    if (!child) return std::nullopt;
    pipe->second.reset();
    os::PlainWaiter waiter;
    std::string head;
    std::array<char, 16384> piece{};
    for (;;) {
        pollfd ready{pipe->first.get(), POLLIN, 0};
        if (waiter.wait({&ready, 1}, until) != os::WaitEnd::ready) return std::nullopt;
        const ssize_t got = ::read(pipe->first.get(), piece.data(), piece.size());
        if (got <= 0) return identify(head);
        head.append(piece.data(), static_cast<std::size_t>(got));
    }
}

}  // namespace

std::optional<Identity> identify(std::string_view head) {
    if (auto found = identify_xfs(head)) return found;
    if (auto found = identify_btrfs(head)) return found;
    if (auto found = identify_ext(head)) return found;
    return identify_fat(head);
}

std::optional<Identity> identity_in_udev(std::string_view record) {
    Identity identity;
    while (!record.empty()) {
        const std::size_t end = std::min(record.find('\n'), record.size());
        const std::string_view line = record.substr(0, end);
        record.remove_prefix(std::min(end + 1, record.size()));
        constexpr std::string_view uuid = "E:ID_FS_UUID=";
        constexpr std::string_view label = "E:ID_FS_LABEL_ENC=";
        if (line.starts_with(uuid)) identity.uuid = line.substr(uuid.size());
        if (line.starts_with(label)) identity.label = unescape_udev(line.substr(label.size()));
    }
    return identity.uuid.empty() && identity.label.empty() ? std::nullopt : std::optional{identity};
}

std::map<DeviceId, Identity> read_identities(const MountTable& mounts, const SysfsFacts& facts,
                                             const IdentityPlaces& places) {
    std::map<DeviceId, Identity> all;
    const Nanoseconds until = os::boottime() + read_max;
    for (const Mount& mount : mounts.mounts()) {
        const Backing backing = backing_of(mount);
        const bool block = backing == Backing::block || backing == Backing::anonymous_block;
        if (!block || all.contains(mount.device)) continue;
        const auto members = facts.members.find(mount.device);
        const auto devices =
            members == facts.members.end() ? std::vector{mount.device} : members->second;
        std::optional<Identity> found;
        std::vector<std::string> names;
        for (const DeviceId device : devices) {
            const auto known = facts.devices.find(device);
            if (found || known == facts.devices.end()) continue;
            names.push_back(known->second.name);
            found = identity_in_udev(
                os::read_file(places.udev + "/b" + device.text(), record_bytes_max).value_or(""));
        }
        if (!found && mount.type == "btrfs") found = btrfs_identity(names, places.sysfs);
        if (!found && !names.empty() && !facts.devices.at(devices.front()).suspended) {
            std::string node = names.front();
            std::ranges::replace(node, '!', '/');  // as sysfs spells a "/" in a device's name
            found = probe(places.dev + "/" + node, devices.front(), until);
        }
        if (found) all[mount.device] = *found;
    }
    return all;
}

}  // namespace stillpoint::linux_guest
