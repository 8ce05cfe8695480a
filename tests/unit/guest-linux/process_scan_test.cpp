#include "freeze/process_scan.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "temp_folder.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace std::chrono_literals;

namespace {

constexpr const char* own_mounts = "1 0 254:1 / / rw - ext4 /dev/vda rw\n";

/// A /proc of text and links, as the kernel shows it.
struct Proc {
    test::TempFolder folder;
    Proc() { folder.link("self/ns/mnt", "mnt:[1]"); }
    void process(int pid, const std::string& name, const std::string& ns) const {
        const std::string at = std::to_string(pid);
        folder.file(at + "/comm", name + "\n");
        folder.link(at + "/ns/mnt", ns);
        folder.file(at + "/mountinfo", own_mounts);
    }
    void fd(int pid, int fd, const std::string& link, const std::string& info) const {
        const std::string at = std::to_string(pid);
        folder.link(at + "/fd/" + std::to_string(fd), link);
        folder.file(at + "/fdinfo/" + std::to_string(fd), info);
    }
    ProcessScan scan(const ScanLimits& limits = {}) const {
        return scan_processes(limits, folder.path());
    }
};

}  // namespace

TEST_CASE("guest-linux/scan: each other namespace once, seen through a process of it") {
    const Proc proc;
    proc.process(1, "init", "mnt:[1]");
    proc.process(20, "db", "mnt:[2]");
    proc.process(21, "db-child", "mnt:[2]");
    proc.process(30, "web", "mnt:[3]");
    proc.folder.file("30/mountinfo", "torn line\n");
    const ProcessScan scan = proc.scan();
    CHECK(scan.complete);
    REQUIRE(scan.namespaces.size() == 1);
    const OtherNamespace& found = scan.namespaces[0];
    CHECK((found.pid == 20 || found.pid == 21));
    REQUIRE(found.mounts.mounts().size() == 1);
    CHECK(found.mounts.mounts()[0].via ==
          proc.folder.path().string() + "/" + std::to_string(found.pid) + "/root");
}

TEST_CASE("guest-linux/scan: limits end it and are told") {
    const Proc proc;
    for (int pid = 100; pid < 110; ++pid)
        proc.process(pid, "p", "mnt:[" + std::to_string(pid) + "]");
    CHECK(!proc.scan({.namespaces = 3}).complete);
    CHECK(proc.scan({.namespaces = 3}).namespaces.size() == 3);
    CHECK(!proc.scan({.processes = 4}).complete);
    CHECK(!proc.scan({.time = -1ns}).complete);
    CHECK(proc.scan().namespaces.size() == 10);
}

TEST_CASE("guest-linux/scan: permission listeners, what they watch and where they write") {
    const Proc proc;
    proc.process(40, "scanner", "mnt:[1]");
    proc.fd(40, 3, "anon_inode:[fanotify]",
            "pos:\t0\nflags:\t02\nmnt_id:\t14\nino:\t1\nfanotify flags:5 event-flags:8000\n"
            "fanotify sdev:fe00010 mflags:0 mask:10000 ignored_mask:0\n"
            "fanotify mnt_id:1c mflags:0 mask:20000 ignored_mask:0\n"
            "fanotify ino:2a sdev:fe00020 mflags:0 mask:8 ignored_mask:0 fhandle-bytes:8\n");
    proc.fd(40, 4, "/var/log/scan", "pos:\t0\nflags:\t0102001\nmnt_id:\t31\n");
    proc.fd(40, 5, "/etc/conf", "pos:\t0\nflags:\t0100000\nmnt_id:\t32\n");
    proc.process(41, "watcher", "mnt:[1]");  // is told, not asked
    proc.fd(41, 3, "anon_inode:[fanotify]",
            "flags:\t02\nmnt_id:\t14\nfanotify sdev:fe00010 mflags:0 mask:8 ignored_mask:0\n");
    const ProcessScan scan = proc.scan();
    REQUIRE(scan.listeners.size() == 1);
    const Listener& found = scan.listeners[0];
    CHECK(found.pid == 40);
    CHECK(found.process == "scanner");
    CHECK(found.watched_filesystems == std::set<DeviceId>{{254, 16}});
    CHECK(found.watched_mounts == std::set<int>{28});
    CHECK(found.writes_to.contains(31));
    CHECK(!found.writes_to.contains(32));
    const std::map<int, DeviceId> devices{{28, {254, 48}}, {31, {254, 1}}};
    const auto predicts = [&](DeviceId device, const std::set<DeviceId>& frozen) {
        return predict_hang(scan.listeners, device, frozen, devices) != nullptr;
    };
    CHECK(predicts({254, 16}, {{254, 1}, {254, 16}}));
    CHECK(predicts({254, 48}, {{254, 1}}));
    CHECK(!predicts({254, 16}, {{254, 16}}));
    CHECK(!predicts({254, 32}, {{254, 1}}));
}

TEST_CASE("guest-linux/scan: a file on a mount that no table shows is a way in") {
    const Proc proc;
    const test::TempFolder files;
    files.file("open", "");
    struct stat there {};
    REQUIRE(::stat((files.path() / "open").c_str(), &there) == 0);
    const DeviceId device{major(there.st_dev), minor(there.st_dev)};
    const std::string open = files.path() / "open";
    proc.process(50, "writer", "mnt:[1]");
    proc.fd(50, 3, "socket:[1]", "flags:\t02\nmnt_id:\t9\n");
    proc.fd(50, 4, open, "flags:\t02\nmnt_id:\t77\n");
    ProcessScan scan;
    find_handles(scan, {device}, {77}, {}, proc.folder.path());
    CHECK(scan.handles.empty());
    find_handles(scan, {device}, {1, 2}, {}, proc.folder.path());
    REQUIRE(scan.handles.size() == 1);
    CHECK(scan.handles[0].device == device);
    CHECK(scan.handles[0].path.ends_with("/50/fd/4"));
}
