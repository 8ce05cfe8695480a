#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"
#include "hypervisor/image/image_vm.hpp"
#include "hypervisor/libvirt/connection.hpp"
#include "hypervisor/libvirt/facts.hpp"

namespace stillpoint::hypervisor::libvirt {

/// A domain of libvirt: while it runs through backup jobs, while it is off by its images.
class LibvirtVm final : public Vm {
public:
    LibvirtVm(std::shared_ptr<Connection> connection, Domain domain, const env::Clock& clock)
        : connection_(std::move(connection)), domain_(std::move(domain)), clock_(clock) {}

    Result<VmInfo> inspect(const env::Deadline& deadline) override;
    /// @errors invalid, id "bitmap.foreign"
    Status remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                          const env::Deadline& deadline) override;
    /// @errors unsupported, id "libvirt.remote": the daemon is on another machine · invalid
    Result<std::unique_ptr<Snapshot>> plan_snapshot(const SnapshotPlan& plan) override;
    Result<Configuration> configuration(const env::Deadline& deadline) override;

private:
    Result<VmInfo> inspect_images(const Facts& facts, const env::Deadline& deadline);
    [[nodiscard]] std::vector<std::string> retired_by(const SnapshotPlan& plan) const;
    [[nodiscard]] SnapshotPlan with_possible_bitmaps(SnapshotPlan plan) const;
    std::shared_ptr<Connection> connection_;
    Domain domain_;
    const env::Clock& clock_;
    std::unique_ptr<image::ImageVm> images_;  // set by inspect while the domain is off
    VmInfo told_;                             // by the last inspect
};

}  // namespace stillpoint::hypervisor::libvirt
