#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"
#include "hypervisor/libvirt/backup_xml.hpp"
#include "hypervisor/libvirt/connection.hpp"
#include "hypervisor/libvirt/facts.hpp"
#include "hypervisor/libvirt/guard.hpp"
#include "hypervisor/libvirt/scratch.hpp"
#include "hypervisor/libvirt/watch.hpp"

namespace stillpoint::hypervisor::libvirt {

/// A pull-mode backup job of libvirt with a checkpoint in the same call.
/// @source ADR-0009 for what takes how long and what libvirt 9.0 cannot do
class LibvirtSnapshot final : public Snapshot {
    struct Key {};

public:
    /// @errors invalid: a plan that names a disk twice, or two different new bitmaps (a checkpoint
    /// has one name)
    static Result<std::unique_ptr<LibvirtSnapshot>> plan(std::shared_ptr<Connection> connection,
                                                         Domain domain, const SnapshotPlan& plan,
                                                         const env::Clock& clock);
    LibvirtSnapshot(Key, std::shared_ptr<Connection> connection, Domain domain, SnapshotPlan plan,
                    ScratchPaths paths, const env::Clock& clock);
    ~LibvirtSnapshot() override;

    /// @errors busy, id "vm.busy": another job · refused, id "bitmap.unusable": a parent bitmap is
    /// gone · no_space, id "scratch.no_space" · denied, id "scratch.unreachable"
    Status prepare(const env::Deadline& deadline, const env::CancelToken& cancel) override;
    Result<SnapshotTimes> take(const env::Deadline& deadline) override;
    Result<std::vector<DiskExport>> open_exports(const env::Deadline& deadline) override;
    Status prove_alive() override;
    Result<GuestWrites> guest_writes(const env::Deadline& deadline) override;
    std::function<Status()> room_check() override;
    Status let_go(const env::Deadline& deadline) override;
    Status end(Outcome outcome, const env::Deadline& deadline) override;
    [[nodiscard]] serialization::Value keeper_document() const override;

private:
    Status make_ready(const Facts& facts, const env::Deadline& deadline);
    [[nodiscard]] BackupDocuments documents(const Facts& facts) const;
    [[nodiscard]] std::vector<std::string> parents() const;
    Status end_job(const env::Deadline& deadline);
    Status retire(std::string DiskPlan::*which, const env::Deadline& deadline);

    std::shared_ptr<Connection> connection_;
    Domain domain_;
    SnapshotPlan plan_;
    ScratchPaths paths_;
    const env::Clock& clock_;
    std::shared_ptr<WatchState> state_;
    std::unique_ptr<Watch> watch_;
    std::shared_ptr<Guard> guard_;  // lives on the lane
    BackupDocuments documents_;
    std::vector<DiskPlan> own_tracking_;  // disks whose bitmaps libvirt knows nothing of
    std::optional<Pending<void>> begin_;  // virDomainBackupBegin, from take() on
    std::string uuid_;
    bool stopped_before_ = false;  // by an I/O error that was none of ours: not ours to resume
    bool prepared_ = false;
    bool let_go_ = false;  // with success
    bool ended_ = false;
};

}  // namespace stillpoint::hypervisor::libvirt
