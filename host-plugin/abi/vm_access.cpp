#include "abi/vm_access.hpp"

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

private:
    std::unique_ptr<hypervisor::Vm> vm_;
    std::string channel_;
};

}  // namespace

Result<OpenVm> open_vm(const serialization::VmAccess& access, const env::Clock& clock,
                       hypervisor::LibvirtLoop loop) {
    if (!access.connect.empty() && !access.qmp_socket.empty()) {
        return fail(Errc::invalid, "vm.access", "both --connect and --qmp were given",
                    "use --connect for a VM under libvirt, --qmp for plain QEMU");
    }
    OpenVm open;
    if (!access.qmp_socket.empty()) {
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
