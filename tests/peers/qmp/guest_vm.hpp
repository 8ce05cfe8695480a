#pragma once
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "env/process.hpp"
#include "hypervisor/qmp/client.hpp"
#include "hypervisor/qmp/vm.hpp"

/// A real QEMU without a guest system: its disks are written through the devices by the monitor.
namespace stillpoint::test {

inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline const env::SystemClock real_clock;

[[nodiscard]] env::Deadline soon();  // 10 s: every wait of these tests
/// Runs a program that must succeed. @return its output
std::string run(const std::vector<std::string>& arguments);

struct DiskSpec {
    std::string id;  // qdev id, and node name with "n-" before it
    std::uint64_t size = 16 * MiB;
    std::string format = "qcow2";
    std::string create_options;  // for qemu-img -o
};

enum class QemuUser { nobody_if_root, ours };

/// A folder that QEMU's user may use.
class Lab {
public:
    explicit Lab(QemuUser user = QemuUser::nobody_if_root);
    [[nodiscard]] env::Path vm_folder() const { return folder_.path() / "vm"; }
    /// A fresh job folder, as the route makes it: ours, 0700.
    [[nodiscard]] env::Path job_folder();
    env::Path make_disk(const DiskSpec& disk) const;
    [[nodiscard]] bool as_nobody() const { return as_nobody_; }
    [[nodiscard]] const env::Path& path() const { return folder_.path(); }

private:
    env::TemporaryFolder folder_;
    bool as_nobody_;
    int jobs_ = 0;
};

enum class Boot { running, paused };

/// -blockdev and -device words for a virtio disk over an image that Lab::make_disk made.
[[nodiscard]] std::vector<std::string> virtio_disk(const Lab& lab, const DiskSpec& disk);

class GuestVm {
public:
    /// Starts QEMU with virtio disks over images that Lab::make_disk made.
    GuestVm(Lab& lab, const std::vector<DiskSpec>& disks, Boot boot = Boot::running,
            std::vector<std::string> more_arguments = {});
    ~GuestVm();
    GuestVm(const GuestVm&) = delete;
    GuestVm& operator=(const GuestVm&) = delete;

    [[nodiscard]] env::Path monitor() const { return folder_ / "driver.sock"; }
    [[nodiscard]] std::unique_ptr<hypervisor::qmp::QmpVm> open() const;
    /// The test's own monitor.
    serialization::Value ask(const std::string& command, serialization::Map arguments = {});
    Status try_ask(const std::string& command, serialization::Map arguments = {});
    /// qemu-io's words through the guest's device, e.g. "write -P 7 1M 64k".
    void io(const std::string& disk, const std::string& words);
    /// As io, for a device by query-block's `qdev`.
    void io_at(const std::string& qdev, const std::string& words);
    /// What the guest would read of a whole disk now.
    [[nodiscard]] Bytes content(const std::string& disk);
    [[nodiscard]] std::string run_state();
    /// Names of all nodes, exports and jobs: what a clean-up must leave unchanged.
    [[nodiscard]] std::string inventory();
    [[nodiscard]] std::vector<std::string> bitmaps(const std::string& disk);
    /// From now on QEMU can write no file beyond this size.
    void limit_file_size(std::uint64_t bytes);
    /// SIGKILL: what a crash of QEMU or of the host leaves.
    void kill();
    /// SIGTERM: bitmaps are stored.
    void quit();
    [[nodiscard]] pid_t pid() const { return process_->pid(); }

private:
    [[nodiscard]] std::string image_path(const std::string& disk) const;

    env::Path folder_;
    std::vector<std::string> as_user_;  // words before a command: become QEMU's user
    std::unique_ptr<env::Child> process_;
    std::unique_ptr<hypervisor::qmp::QmpClient> client_;
};

/// What an export shows, read by nbdcopy.
[[nodiscard]] Bytes read_export(const hypervisor::DiskExport& one, const env::Path& scratch);
/// Empty when equal; else the sizes, or where the first and last difference lie.
[[nodiscard]] std::string difference(const Bytes& one, const Bytes& other);
/// Dirty extents as nbdinfo lists them: "offset+length …" of type 1.
[[nodiscard]] std::string dirty_map(const hypervisor::DiskExport& one);

/// A plan over these disks: parent and new bitmap are "" or a short tag.
[[nodiscard]] hypervisor::SnapshotPlan plan_of(Lab& lab, const std::vector<std::string>& disks,
                                               const std::string& parent, const std::string& next);

/// The full name of the bitmap that plan_of makes of a tag.
[[nodiscard]] std::string bitmap_name(const std::string& tag);

/// REQUIREs success and shows the error otherwise.
template <class T>
T need(Result<T> result) {
    if (!result) FAIL(result.error().id << ": " << result.error().text);
    if constexpr (!std::is_void_v<T>) return std::move(result).value();
}

}  // namespace stillpoint::test
