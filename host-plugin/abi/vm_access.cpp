#include "abi/vm_access.hpp"

#include <array>

namespace stillpoint::abi {
namespace {

constexpr const char* default_uri = "qemu:///system";

/// Adds what the user knows and the hypervisor does not: where the guest's port is on the host.
class WithChannel final : public hypervisor::Vm {
public:
    WithChannel(std::unique_ptr<hypervisor::Vm> vm, std::string channel)
        : vm_(std::move(vm)), channel_(std::move(channel)) {}
    Result<hypervisor::VmInfo> inspect(const env::Deadline& deadline) override {
        SP_ASSIGN(hypervisor::VmInfo info, vm_->inspect(deadline));
        if (!channel_.empty()) info.guest_channel = channel_;
        return info;
    }
    Status remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                          const env::Deadline& deadline) override {
        return vm_->remove_bitmaps(by_disk, deadline);
    }
    Result<std::unique_ptr<hypervisor::Snapshot>> plan_snapshot(
        const hypervisor::SnapshotPlan& plan) override {
        return vm_->plan_snapshot(plan);
    }
    Result<hypervisor::Configuration> configuration(const env::Deadline& deadline) override {
        return vm_->configuration(deadline);
    }

private:
    std::unique_ptr<hypervisor::Vm> vm_;
    std::string channel_;
};

constexpr std::array formats{"raw", "qcow2", "vmdk", "vdi", "vhdx", "qed"};

std::string format_of_name(const std::string& path) {
    for (const char* format : {"raw", "qcow2"}) {
        if (env::Path{path}.extension() == std::string(".") + format) return format;
    }
    return {};
}

Result<std::unique_ptr<hypervisor::Vm>> open_images(const serialization::VmAccess& access,
                                                    const env::Clock& clock) {
    std::vector<hypervisor::ImageDisk> disks;
    for (const std::string& given : access.images) {
        SP_ASSIGN(hypervisor::ImageDisk disk, parse_image(given));
        disks.push_back(std::move(disk));
    }
    return hypervisor::open_image_vm(access.vm, {std::move(disks), access.nvram}, clock);
}

}  // namespace

Result<hypervisor::ImageDisk> parse_image(const std::string& given) {
    const std::size_t equals = given.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == given.size()) {
        return fail(Errc::invalid, "image.option", "--image " + given + " is not NAME=PATH",
                    "for example --image vda=/srv/vm1.qcow2");
    }
    hypervisor::ImageDisk disk{
        .name = given.substr(0, equals), .path = given.substr(equals + 1), .format = {}};
    for (const std::string format : formats) {
        if (!disk.path.starts_with(format + ":")) continue;
        disk.format = format;
        disk.path.erase(0, format.size() + 1);
    }
    if (disk.format.empty()) disk.format = format_of_name(disk.path);
    if (!disk.format.empty() && !disk.path.empty()) return disk;
    return fail(Errc::invalid, "image.format_needed",
                "the format of image " + disk.path + " is not known from its name",
                "say it: --image " + disk.name + "=raw:" + disk.path + " (or qcow2:)");
}

Result<OpenVm> open_vm(const serialization::VmAccess& access, const env::Clock& clock,
                       hypervisor::LibvirtLoop loop) {
    const int ways = int{!access.connect.empty()} + int{!access.qmp_socket.empty()} +
                     int{!access.images.empty()};
    if (ways > 1) {
        return fail(Errc::invalid, "vm.access",
                    "more than one of --connect, --qmp and --image was given",
                    "use --connect for a VM under libvirt, --qmp for plain QEMU, --image for disks "
                    "of a plain QEMU that is off");
    }
    if (access.images.empty() && !access.nvram.empty()) {
        return fail(Errc::invalid, "vm.access", "--nvram was given without --image",
                    "a running VM and libvirt tell where their UEFI variables are");
    }
    OpenVm open;
    if (!access.images.empty()) {
        open.driver = "image";
        SP_ASSIGN(open.vm, open_images(access, clock));
    } else if (!access.qmp_socket.empty()) {
        open.driver = "qmp";
        SP_ASSIGN(open.vm, hypervisor::open_qmp_vm(access.qmp_socket, access.vm, clock));
    } else {
        open.driver = "libvirt";
        const std::string uri = access.connect.empty() ? default_uri : access.connect;
        SP_ASSIGN(open.vm, hypervisor::open_libvirt_vm(uri, access.vm, clock, loop));
    }
    open.vm = std::make_unique<WithChannel>(std::move(open.vm), access.guest_channel);
    return open;
}

}  // namespace stillpoint::abi
