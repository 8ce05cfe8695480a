#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"
#include "hypervisor/libvirt/connection.hpp"
#include "hypervisor/libvirt/facts.hpp"

/// What libvirt adds to the images of a domain that is off: how it went down, and the checkpoints
/// that it remembers of bitmaps that the image driver removes.
namespace stillpoint::hypervisor::libvirt {

/// Pure: the domain's disks for the image driver; what cannot be had from here says so.
[[nodiscard]] std::vector<ImageDisk> images_of(const Facts& facts);

/// Pure: the guest itself ended its work, and nothing of it is kept in a saved state.
[[nodiscard]] bool ended_cleanly(int state, int reason, int saved_images);

/// The same of a domain. @errors busy, id "image.vm_started": it is not off any more. Blocks: call
/// on a lane
[[nodiscard]] Result<bool> ask_clean_shutdown(virDomainPtr domain);

/// Pure: checkpoints to forget when these bitmaps go: those that no other disk still holds.
[[nodiscard]] std::vector<std::string> forgotten_with(
    const VmInfo& vm, const std::map<std::string, std::vector<std::string>>& by_disk);

/// Forgets checkpoints of a domain that is off; what libvirt does not know is success. Blocks.
[[nodiscard]] Status forget_checkpoints(virDomainPtr domain, const std::vector<std::string>& names);

/// A snapshot of images that also lets libvirt forget the checkpoints of retired bitmaps. New
/// bitmaps it gets to know when the domain runs again (adopt_parent).
class PoweredOffSnapshot final : public Snapshot {
public:
    PoweredOffSnapshot(std::unique_ptr<Snapshot> images, std::shared_ptr<Connection> connection,
                       Domain domain, std::vector<std::string> retired)
        : images_(std::move(images)),
          connection_(std::move(connection)),
          domain_(std::move(domain)),
          retired_(std::move(retired)) {}
    Status prepare(const env::Deadline& deadline, const env::CancelToken& cancel) override {
        return images_->prepare(deadline, cancel);
    }
    Result<SnapshotTimes> take(const env::Deadline& deadline) override {
        return images_->take(deadline);
    }
    Result<std::vector<DiskExport>> open_exports(const env::Deadline& deadline) override {
        return images_->open_exports(deadline);
    }
    Status prove_alive() override { return images_->prove_alive(); }
    Status end(Outcome outcome, const env::Deadline& deadline) override;
    [[nodiscard]] Error explain(Error error) const override {
        return images_->explain(std::move(error));
    }
    [[nodiscard]] serialization::Value keeper_document() const override {
        return images_->keeper_document();
    }

private:
    std::unique_ptr<Snapshot> images_;
    std::shared_ptr<Connection> connection_;
    Domain domain_;
    std::vector<std::string> retired_;
};

}  // namespace stillpoint::hypervisor::libvirt
