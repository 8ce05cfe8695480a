#pragma once
#include <functional>
#include <map>

#include "hypervisor/image/image_vm.hpp"
#include "hypervisor/image/writers.hpp"
#include "peers/qmp/guest_vm.hpp"

/// Disk images and the driver for them.
namespace stillpoint::test {

/// A lab whose images are ours: nobody else is QEMU here.
struct OffLab {
    Lab lab{QemuUser::ours};
    std::vector<hypervisor::ImageDisk> disks;

    /// Makes an image. @param create_options for qemu-img -o
    env::Path add(const std::string& name, const std::string& format = "qcow2",
                  const std::string& create_options = {});
    /// As add, of an image that exists.
    void take(const std::string& name, const env::Path& image, const std::string& format);
    [[nodiscard]] std::unique_ptr<hypervisor::Vm> open() const;
    [[nodiscard]] hypervisor::SnapshotPlan plan(const std::string& parent, const std::string& next);
    [[nodiscard]] const env::Path& path() const { return lab.path(); }
};

/// qemu-io's words on an image, as a VM that is started, writes and is shut down.
void write_offline(const env::Path& image, const std::string& words,
                   const std::string& format = "qcow2");
/// All bitmaps of an image with their flags, "name:auto name:in-use+auto …", sorted.
[[nodiscard]] std::string bitmaps_in(const env::Path& image);
/// What the image holds.
[[nodiscard]] Bytes content_of(const env::Path& image, const std::string& format = "qcow2");
/// `qemu-img check` finds no error (leaks are none).
[[nodiscard]] bool is_sound(const env::Path& image);
/// Storage daemons that work for this lab, by what /proc says.
[[nodiscard]] int daemons_of(const OffLab& lab);

/// One backup of all disks: what the route does, without a vault.
struct Taken {
    std::map<std::string, Bytes> content;
    std::map<std::string, std::string> dirty;  // of disks with a parent
};
struct Steps {
    std::function<void()> while_reading;  // after the exports opened
    std::function<void()> before_proof;
};
[[nodiscard]] Result<Taken> take_backup(hypervisor::Vm& vm, const hypervisor::SnapshotPlan& plan,
                                        const Steps& steps = {});

/// The error's id; "done" when there is none.
[[nodiscard]] std::string failure_of(const Result<Taken>& taken);

}  // namespace stillpoint::test
