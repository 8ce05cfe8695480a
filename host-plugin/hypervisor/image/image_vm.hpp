#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hypervisor/image/session.hpp"

namespace stillpoint::hypervisor::image {

/// Disks of a VM that is off. What the VM was like (uuid, serials, how it went down) is not known
/// here; who knows it adds it. @threads one at a time
class ImageVm final : public Vm {
public:
    ImageVm(std::string label, ImageFiles files, const env::Clock& clock)
        : label_(std::move(label)),
          disks_(std::move(files.disks)),
          nvram_(std::move(files.nvram)),
          clock_(clock) {}

    /// @errors busy, id "image.in_use"
    Result<VmInfo> inspect(const env::Deadline& deadline) override;
    /// Notes them: they go under the lock in which the new bitmaps start, since every further
    /// moment of writing is one in which the VM cannot be started.
    /// @errors invalid, id "bitmap.foreign"
    Status remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                          const env::Deadline& deadline) override;
    /// Of what inspect() saw last: whatever changed since is found by the snapshot.
    Result<std::unique_ptr<Snapshot>> plan_snapshot(const SnapshotPlan& plan) override;
    /// The variables that were named, nothing else: who knows the VM (libvirt) tells it instead.
    Result<Configuration> configuration(const env::Deadline& deadline) override;

private:
    [[nodiscard]] Result<KnownDisk> look(const ImageDisk& disk,
                                         const env::Deadline& deadline) const;
    [[nodiscard]] std::string definition() const;

    std::string label_;
    std::vector<ImageDisk> disks_;
    std::string nvram_;
    const env::Clock& clock_;
    std::vector<KnownDisk> known_;
    std::map<std::string, std::vector<std::string>> retire_;
};

}  // namespace stillpoint::hypervisor::image
