#pragma once
#include <map>
#include <string>
#include <vector>

#include "env/no_pipe_signal.hpp"
#include "env/process.hpp"
#include "hypervisor/hypervisor.hpp"

namespace stillpoint::test {

struct TestDisk {
    std::string name;  // vda, vdb, …
    std::string format = "qcow2";
    int size_mib = 64;
};

enum class Guest {
    none,    // QEMU stands still (paused): an idle processor
    writes,  // a boot sector that overwrites vda for ever, 32 KiB in each 64 KiB
};

/// A domain of the test's own libvirtd (see tests/vm/with-libvirt.sh). The test's own
/// writes go through the device's backend and so past the bitmaps, as a guest's would. A failing
/// helper fails the test.
/// @threads one
class TestDomain {
public:
    /// Defines and starts a domain with these disks.
    explicit TestDomain(const std::vector<TestDisk>& disks, Guest guest = Guest::none);
    TestDomain(const TestDomain&) = delete;
    TestDomain& operator=(const TestDomain&) = delete;
    ~TestDomain();

    void start() const;
    void destroy() const;  // SIGTERM to QEMU: bitmaps are stored
    void kill_qemu() const;
    /// Hot-plugs a disk made now.
    void attach(const TestDisk& disk);
    /// Fills [at, at+length) of a disk with one byte, in QEMU and in the reference.
    void write(const std::string& disk, int pattern, std::uint64_t at, std::uint64_t length);
    /// HMP; @return its output
    std::string monitor(const std::string& command) const;
    /// QMP; @return the answer's text
    std::string qmp(const std::string& command) const;
    /// @return names of all checkpoints libvirt knows, sorted, with a blank between
    [[nodiscard]] std::string checkpoints() const;
    /// @return likewise, of all bitmaps that QEMU knows for the disk's image
    [[nodiscard]] std::string bitmaps(const std::string& disk) const;
    [[nodiscard]] std::string state() const;
    [[nodiscard]] bool has_job() const;
    /// @return bytes that the guest wrote to the disk since the domain started
    [[nodiscard]] std::uint64_t written_bytes(const std::string& disk) const;

    /// What the disk should hold now.
    [[nodiscard]] const std::string& reference(const std::string& disk) const {
        return references_.at(disk);
    }
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] env::Path folder() const { return folder_; }
    [[nodiscard]] env::Path image(const std::string& disk) const;

private:
    env::NoPipeSignal quiet_;                        // as in a job: libvirt writes to who has left
    std::string create_image(const TestDisk& disk);  // @return its <disk> element
    void make_bootable() const;
    std::string name_;
    env::Path folder_;
    Guest guest_;
    std::map<std::string, std::string> references_;
};

/// Runs a program that must succeed. @return its stdout
std::string run(const std::vector<std::string>& arguments);
/// Runs virsh. @return exit code and output
env::ProcessOutput virsh(std::vector<std::string> arguments);
std::string virsh_ok(const std::vector<std::string>& arguments);

/// @return all bytes of an export, read by nbdcopy
std::string read_export(const hypervisor::DiskExport& item);
/// @return what a metadata context reports as dirty, by nbdinfo: offset -> length
std::map<std::uint64_t, std::uint64_t> dirty_map(const hypervisor::DiskExport& item);

/// @return the value, or fails the test with the error's text
template <class T>
T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().id + ": " + result.error().text);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// A free folder for one job, removed with the lab.
env::Path job_folder();

}  // namespace stillpoint::test
