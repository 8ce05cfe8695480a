#include "freeze/process_scan.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>

#include "os/fd.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::Nanoseconds;

constexpr std::size_t fdinfo_bytes_max = 1u << 20;  // a line for each mark
constexpr std::size_t comm_bytes_max = 64;

/// @source Linux include/uapi/linux/fanotify.h: FAN_OPEN_PERM, FAN_ACCESS_PERM, FAN_OPEN_EXEC_PERM
constexpr std::uint64_t permission_bits = 0x10000 | 0x20000 | 0x40000;

/// The value of a word like "mask:10000" in a line; nullopt: no such word.
std::optional<std::uint64_t> value_of(std::string_view line, std::string_view key, int base) {
    std::size_t at = 0;
    while ((at = line.find(key, at)) != std::string_view::npos) {
        const bool word = at == 0 || std::strchr(" \t\n", line[at - 1]) != nullptr;
        at += key.size();
        if (!word) continue;
        while (at < line.size() && (line[at] == ' ' || line[at] == '\t')) ++at;
        std::uint64_t value = 0;
        const auto [end, error] =
            std::from_chars(line.data() + at, line.data() + line.size(), value, base);
        if (error == std::errc{}) return value;
    }
    return std::nullopt;
}

std::vector<std::string_view> lines_of(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        lines.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

/// Calls for every entry that is a number, until the callee says false.
void each_number(const std::string& folder, const std::function<bool(int)>& visit) {
    const std::unique_ptr<DIR, int (*)(DIR*)> listing{::opendir(folder.c_str()), ::closedir};
    if (!listing) return;
    while (const dirent* entry = ::readdir(listing.get())) {
        const int number = std::atoi(entry->d_name);
        const bool digits = entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
        if (digits && !visit(number)) return;
    }
}

class Scanner {
public:
    Scanner(const ScanLimits& limits, const std::string& proc)
        : limits_(limits), proc_(proc), until_(os::boottime() + limits.time) {}

    ProcessScan run() {
        own_ = os::read_link(proc_ + "/self/ns/mnt").value_or("");
        each_number(proc_, [&](int pid) {
            if (++processes_ > limits_.processes || late()) return stop();
            take_namespace(pid);
            return take_listener(pid);
        });
        return std::move(scan_);
    }

private:
    bool stop() {
        scan_.complete = false;
        return false;
    }
    [[nodiscard]] bool late() const { return os::boottime() > until_; }
    [[nodiscard]] std::string folder(int pid) const { return proc_ + "/" + std::to_string(pid); }

    [[nodiscard]] std::string name_of_process(int pid) const {
        std::string name = os::read_file(folder(pid) + "/comm", comm_bytes_max).value_or("");
        name.resize(std::min(name.find('\n'), name.size()));
        return name;
    }

    void take_namespace(int pid) {
        const std::string id = os::read_link(folder(pid) + "/ns/mnt").value_or(own_);
        if (id == own_ || seen_.contains(id)) return;
        if (scan_.namespaces.size() >= limits_.namespaces) {
            scan_.complete = false;
            return;
        }
        const auto text = os::read_file(folder(pid) + "/mountinfo", mountinfo_bytes_max);
        auto mounts = text ? MountTable::parse(*text) : fail(text.error());
        if (!mounts) return;  // it has ended meanwhile; another process may still be there
        seen_.insert(id);
        mounts->seen_through(folder(pid) + "/root");
        scan_.namespaces.push_back({pid, name_of_process(pid), *std::move(mounts)});
    }

    /// @return false: a limit was reached
    bool take_listener(int pid) {
        Listener listener{pid, {}, {}, {}, {}};
        bool listens = false;
        bool within = true;
        each_number(folder(pid) + "/fd", [&](int fd) {
            if (++descriptors_ > limits_.descriptors || late()) return within = stop();
            const std::string link =
                os::read_link(folder(pid) + "/fd/" + std::to_string(fd)).value_or("");
            if (link != "anon_inode:[fanotify]") return true;
            listens = add_fdinfo(listener, fdinfo(pid, fd)) || listens;
            return true;
        });
        if (!listens) return within;
        listener.process = name_of_process(pid);
        each_number(folder(pid) + "/fd", [&](int fd) {
            const std::string info = fdinfo(pid, fd);
            const auto flags = value_of(info, "flags:", 8);
            const auto mount = value_of(info, "mnt_id:", 10);
            const bool writes = flags && (*flags & O_ACCMODE) != O_RDONLY;
            if (writes && mount) listener.writes_to.insert(static_cast<int>(*mount));
            return !late();
        });
        scan_.listeners.push_back(std::move(listener));
        return within;
    }

    [[nodiscard]] std::string fdinfo(int pid, int fd) const {
        const std::string path = folder(pid) + "/fdinfo/" + std::to_string(fd);
        return os::read_file(path, fdinfo_bytes_max).value_or("");
    }

    const ScanLimits& limits_;
    const std::string& proc_;
    Nanoseconds until_;
    std::string own_;
    std::set<std::string> seen_;
    std::size_t processes_ = 0;
    std::size_t descriptors_ = 0;
    ProcessScan scan_;
};

/// The superblock below an open file, without asking a server; nullopt: neither file nor folder.
std::optional<DeviceId> superblock_of(const std::string& path) {
    // The system call itself: the library would fall back to a stat that does ask.
    struct statx found {};
    if (::syscall(SYS_statx, AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &found) != 0)
        return std::nullopt;
    if (!S_ISREG(found.stx_mode) && !S_ISDIR(found.stx_mode)) return std::nullopt;
    return DeviceId{found.stx_dev_major, found.stx_dev_minor};
}

}  // namespace

bool add_fdinfo(Listener& listener, std::string_view fdinfo) {
    bool asked = false;
    for (const std::string_view line : lines_of(fdinfo)) {
        const auto mask = value_of(line, "mask:", 16);
        if (!line.starts_with("fanotify ") || !mask || (*mask & permission_bits) == 0) continue;
        asked = true;
        if (const auto device = value_of(line, "sdev:", 16)) {
            // The kernel's own form: 12 bits of major, 20 of minor.
            listener.watched_filesystems.insert({static_cast<std::uint32_t>(*device >> 20),
                                                 static_cast<std::uint32_t>(*device & 0xfffff)});
        }
        if (const auto mount = value_of(line, "mnt_id:", 16))
            listener.watched_mounts.insert(static_cast<int>(*mount));
    }
    return asked;
}

ProcessScan scan_processes(const ScanLimits& limits, const std::string& proc) {
    return Scanner{limits, proc}.run();
}

void find_handles(ProcessScan& scan, const std::set<DeviceId>& wanted, const std::set<int>& known,
                  const ScanLimits& limits, const std::string& proc) {
    std::set<DeviceId> found;
    const Nanoseconds until = os::boottime() + limits.time;
    const auto take = [&](const std::string& path) {
        const auto device = superblock_of(path);
        if (!device || !wanted.contains(*device)) return;
        if (found.insert(*device).second) scan.handles.push_back({path, *device});
    };
    each_number(proc, [&](int pid) {
        const std::string folder = proc + "/" + std::to_string(pid);
        each_number(folder + "/fd", [&](int fd) {
            const std::string info =
                os::read_file(folder + "/fdinfo/" + std::to_string(fd), fdinfo_bytes_max)
                    .value_or("");
            const auto mount = value_of(info, "mnt_id:", 10);
            const std::string path = folder + "/fd/" + std::to_string(fd);
            const bool named = os::read_link(path).value_or("").starts_with('/');
            if (mount && named && !known.contains(static_cast<int>(*mount))) take(path);
            return os::boottime() < until;
        });
        take(folder + "/cwd");
        return found.size() < wanted.size() && os::boottime() < until;
    });
}

const Listener* predict_hang(const std::vector<Listener>& listeners, DeviceId device,
                             const std::set<DeviceId>& frozen,
                             const std::map<int, DeviceId>& mount_devices) {
    const auto on = [&](int mount, const auto& test) {
        const auto found = mount_devices.find(mount);
        return found != mount_devices.end() && test(found->second);
    };
    for (const Listener& listener : listeners) {
        const bool watches = listener.watched_filesystems.contains(device) ||
                             std::ranges::any_of(listener.watched_mounts, [&](int mount) {
                                 return on(mount, [&](DeviceId there) { return there == device; });
                             });
        const bool writes = std::ranges::any_of(listener.writes_to, [&](int mount) {
            return on(mount, [&](DeviceId there) { return frozen.contains(there); });
        });
        if (watches && writes) return &listener;
    }
    return nullptr;
}

}  // namespace stillpoint::linux_guest
