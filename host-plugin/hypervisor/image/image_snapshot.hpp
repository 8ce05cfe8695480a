#pragma once
#include <map>
#include <memory>
#include <vector>

#include "hypervisor/image/daemon.hpp"
#include "hypervisor/image/session.hpp"
#include "hypervisor/image/window.hpp"

namespace stillpoint::hypervisor::image {

/// Disks of a VM that is off, read as they lie there. Nobody is kept from starting the VM but for
/// the moments in which bitmaps are changed; instead it is proven afterwards that nobody wrote.
/// Block devices, where nothing proves that, are kept locked while they are read. (ADR-0012)
class ImageSnapshot final : public Snapshot {
public:
    ImageSnapshot(KeeperOrder order, std::vector<SessionDisk> disks, const env::Clock& clock);
    ImageSnapshot(const ImageSnapshot&) = delete;
    ImageSnapshot& operator=(const ImageSnapshot&) = delete;
    ~ImageSnapshot() override;

    /// @errors busy, id "image.vm_started" · busy, id "image.in_use" · those of StorageDaemon
    Status prepare(const env::Deadline& deadline, const env::CancelToken& cancel) override;
    Result<SnapshotTimes> take(const env::Deadline& deadline) override;
    Result<std::vector<DiskExport>> open_exports(const env::Deadline& deadline) override;
    /// Proves that nobody wrote since the VM was looked at. The first call also starts the new
    /// bitmaps, under QEMU's lock and together with the proof.
    /// @errors busy, id "image.vm_started": nothing read may be published · refused, id
    ///         "snapshot.broken"
    Status prove_alive() override;
    /// A bitmap that cannot be removed because the VM is being started stays for the next run.
    Status end(Outcome outcome, const env::Deadline& deadline) override;
    [[nodiscard]] Error explain(Error error) const override;
    [[nodiscard]] serialization::Value keeper_document() const override;

private:
    enum class Phase { planned, prepared, taken, ended };

    [[nodiscard]] Status check_unwritten() const;
    Status ban_writers();
    void lift_bans(const std::vector<BitmapChange>& changes);
    Status start_bitmaps(const env::Deadline& deadline);
    Status stamp_again();
    Status drop_bitmaps(Outcome outcome, const env::Deadline& deadline);

    KeeperOrder order_;
    std::vector<SessionDisk> disks_;
    const env::Clock& clock_;
    env::CancelToken cancel_;
    std::unique_ptr<StorageDaemon> daemon_;
    std::map<std::string, WriterBan> bans_;  // by path, of block devices
    Phase phase_ = Phase::planned;
    bool bitmaps_started_ = false;
};

/// The error of an attempt during which somebody wrote.
[[nodiscard]] Error vm_started(const std::string& disk, const std::string& file);

}  // namespace stillpoint::hypervisor::image
