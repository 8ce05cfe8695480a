#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"
#include "hypervisor/libvirt/connection.hpp"

namespace stillpoint::hypervisor::libvirt {

/// A domain of libvirt.
class LibvirtVm final : public Vm {
public:
    LibvirtVm(std::shared_ptr<Connection> connection, Domain domain, const env::Clock& clock)
        : connection_(std::move(connection)), domain_(std::move(domain)), clock_(clock) {}

    Result<VmInfo> inspect(const env::Deadline& deadline) override;
    /// @errors unsupported, id "vm.not_running" · invalid, id "bitmap.foreign"
    Status remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                          const env::Deadline& deadline) override;
    /// @errors unsupported, id "libvirt.remote": the daemon is on another machine · invalid
    Result<std::unique_ptr<Snapshot>> plan_snapshot(const SnapshotPlan& plan) override;

private:
    std::shared_ptr<Connection> connection_;
    Domain domain_;
    const env::Clock& clock_;
};

}  // namespace stillpoint::hypervisor::libvirt
