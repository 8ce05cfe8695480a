#pragma once
#include <set>
#include <string>
#include <vector>

#include "freeze/mountinfo.hpp"
#include "os/clock.hpp"

namespace stillpoint::linux_guest {

/// Another mount namespace, seen through one of its processes.
struct OtherNamespace {
    int pid = 0;
    std::string process;  // its name
    MountTable mounts;    // seen through /proc/PID/root
};

/// A process that decides about opens, reads or executions of others (fanotify permission events).
/// While it waits for a frozen filesystem, whoever waits for its answer may hold up a freeze for
/// good.
struct Listener {
    int pid = 0;
    std::string process;
    std::set<DeviceId> watched_filesystems;  // marks on files and whole filesystems
    std::set<int> watched_mounts;            // marks on mounts: their ids
    std::set<int> writes_to;  // ids of the mounts that it has files open for writing on
};

/// A way into a filesystem that is mounted nowhere any more (umount -l) but still in use.
struct Handle {
    std::string path;  // /proc/PID/cwd or /proc/PID/fd/N
    DeviceId device;
};

/// What other processes tell about filesystems.
struct ProcessScan {
    std::vector<OtherNamespace> namespaces;  // not our own
    std::vector<Listener> listeners;
    std::vector<Handle> handles;  // one per device
    bool complete = true;         // false: a limit was reached
};

/// Bounds of a scan: servers have tens of thousands of processes.
struct ScanLimits {
    os::Nanoseconds time = std::chrono::seconds{1};
    std::size_t processes = 32768;
    std::size_t namespaces = 64;
    std::size_t descriptors = 200'000;
};

/// Walks /proc before the window: other mount namespaces and permission listeners. Reads nothing
/// of a process that could wait for its memory map (cmdline, maps, environ).
/// @param proc where procfs is mounted; another folder in tests
[[nodiscard]] ProcessScan scan_processes(const ScanLimits& limits = {},
                                         const std::string& proc = "/proc");

/// Looks for a way into filesystems that no mount table shows. Only files on mounts that are in no
/// table are looked at, so that network filesystems are not asked.
/// @param wanted superblocks without a mount · known mount ids of all tables
void find_handles(ProcessScan& scan, const std::set<DeviceId>& wanted, const std::set<int>& known,
                  const ScanLimits& limits = {}, const std::string& proc = "/proc");

/// @return why freezing `device` may never end: a listener watches it and writes to one of the
/// filesystems that will be frozen; null: no such
/// @param mount_devices mount id -> superblock, of all namespaces
[[nodiscard]] const Listener* predict_hang(const std::vector<Listener>& listeners, DeviceId device,
                                           const std::set<DeviceId>& frozen,
                                           const std::map<int, DeviceId>& mount_devices);

/// Reads one descriptor's fdinfo into a listener; pure.
/// @return whether it is a fanotify group that is asked for permission
bool add_fdinfo(Listener& listener, std::string_view fdinfo);

}  // namespace stillpoint::linux_guest
