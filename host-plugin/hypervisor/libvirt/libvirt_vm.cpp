#include "hypervisor/libvirt/libvirt_vm.hpp"

#include "hypervisor/libvirt/checkpoints.hpp"
#include "hypervisor/libvirt/configuration.hpp"
#include "hypervisor/libvirt/facts.hpp"
#include "hypervisor/libvirt/libvirt_snapshot.hpp"
#include "hypervisor/libvirt/powered_off.hpp"

namespace stillpoint::hypervisor {
namespace libvirt {

Result<VmInfo> LibvirtVm::inspect(const env::Deadline& deadline) {
    SP_ASSIGN(Facts facts, connection_->call<Facts>(deadline, "inspect the VM",
                                                    [domain = domain_](virConnectPtr) {
                                                        return read_facts(domain.get());
                                                    }));
    images_.reset();
    told_ = facts.vm;
    if (is_active(facts) || connection_->remote()) return std::move(facts.vm);
    return inspect_images(facts, deadline);
}

Result<VmInfo> LibvirtVm::inspect_images(const Facts& facts, const env::Deadline& deadline) {
    auto images =
        std::make_unique<image::ImageVm>(facts.vm.name, ImageFiles{images_of(facts)}, clock_);
    SP_ASSIGN(VmInfo info, images->inspect(deadline));
    // Asked after the images were looked at: whoever starts the VM now changes them.
    SP_ASSIGN(info.clean_shutdown,
              connection_->call<bool>(
                  deadline, "ask how the VM went down",
                  [domain = domain_](virConnectPtr) { return ask_clean_shutdown(domain.get()); }));
    info.uuid = facts.vm.uuid;
    info.uuid_known = true;
    info.definition = facts.vm.definition;
    told_ = info;
    images_ = std::move(images);
    return info;
}

std::vector<std::string> LibvirtVm::retired_by(const SnapshotPlan& plan) const {
    std::map<std::string, std::vector<std::string>> going;
    for (const DiskPlan& disk : plan.disks) {
        if (!disk.parent_bitmap.empty()) going[disk.name] = {disk.parent_bitmap};
    }
    return forgotten_with(told_, going);
}

// A libvirt checkpoint needs a bitmap in the image, our own tracking one of QEMU's; who plans
// without knowing that gets none.
SnapshotPlan LibvirtVm::with_possible_bitmaps(SnapshotPlan plan) const {
    for (const DiskInfo& disk : told_.disks) {
        if (disk.persistent_bitmaps || disk.transient_bitmaps) continue;
        for (DiskPlan& planned : plan.disks) {
            if (planned.name == disk.name) planned.new_bitmap.clear();
        }
    }
    return plan;
}

Status LibvirtVm::remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                                 const env::Deadline& deadline) {
    if (images_) {
        SP_TRY(images_->remove_bitmaps(by_disk, deadline));
        return connection_->call<void>(
            deadline, "forget checkpoints",
            [domain = domain_, names = forgotten_with(told_, by_disk)](virConnectPtr) {
                return forget_checkpoints(domain.get(), names);
            });
    }
    return connection_->call<void>(
        deadline, "remove bitmaps", [domain = domain_, by_disk](virConnectPtr) -> Status {
            SP_ASSIGN(const Facts facts, read_facts(domain.get()));
            if (!is_active(facts)) {
                return fail(Errc::unsupported, "vm.not_running",
                            "bitmaps of VM " + facts.vm.name + " cannot be removed: it is shut off",
                            "start it");
            }
            return libvirt::remove_bitmaps(domain.get(), facts, by_disk);
        });
}

Result<std::unique_ptr<Snapshot>> LibvirtVm::plan_snapshot(const SnapshotPlan& plan) {
    if (connection_->remote()) {
        return fail(Errc::unsupported, "libvirt.remote",
                    connection_->uri() + " is another machine: its disks cannot be read from here",
                    "run the backup on that machine");
    }
    if (images_) {
        SP_ASSIGN(auto images, images_->plan_snapshot(plan));
        return std::unique_ptr<Snapshot>{std::make_unique<PoweredOffSnapshot>(
            std::move(images), connection_, domain_, retired_by(plan))};
    }
    SP_ASSIGN(auto snapshot,
              LibvirtSnapshot::plan(connection_, domain_, with_possible_bitmaps(plan), clock_));
    return snapshot;
}

Result<Configuration> LibvirtVm::configuration(const env::Deadline& deadline) {
    return connection_->call<Configuration>(
        deadline, "read the VM's configuration",
        [domain = domain_, uri = connection_->uri()](virConnectPtr) {
            return read_configuration(domain.get(), uri);
        });
}

}  // namespace libvirt

Result<std::unique_ptr<Vm>> open_libvirt_vm(const std::string& uri, const std::string& vm,
                                            const env::Clock& clock, LibvirtLoop loop) {
    const env::Deadline deadline{clock, libvirt_open_budget};
    SP_ASSIGN(auto connection, libvirt::Connection::open(uri, loop, deadline));
    SP_ASSIGN(libvirt::Domain domain, connection->find(vm, deadline));
    return std::make_unique<libvirt::LibvirtVm>(std::move(connection), std::move(domain), clock);
}

}  // namespace stillpoint::hypervisor
