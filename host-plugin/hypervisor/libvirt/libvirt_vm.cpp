#include "hypervisor/libvirt/libvirt_vm.hpp"

#include "hypervisor/libvirt/checkpoints.hpp"
#include "hypervisor/libvirt/facts.hpp"
#include "hypervisor/libvirt/libvirt_snapshot.hpp"

namespace stillpoint::hypervisor {
namespace libvirt {

Result<VmInfo> LibvirtVm::inspect(const env::Deadline& deadline) {
    SP_ASSIGN(Facts facts, connection_->call<Facts>(deadline, "inspect the VM",
                                                    [domain = domain_](virConnectPtr) {
                                                        return read_facts(domain.get());
                                                    }));
    return std::move(facts.vm);
}

Status LibvirtVm::remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                                 const env::Deadline& deadline) {
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
    SP_ASSIGN(auto snapshot, LibvirtSnapshot::plan(connection_, domain_, plan, clock_));
    return snapshot;
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
