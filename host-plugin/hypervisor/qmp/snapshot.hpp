#pragma once
#include <memory>
#include <optional>

#include "env/peer.hpp"
#include "hypervisor/qmp/scratch.hpp"
#include "hypervisor/qmp/session.hpp"
#include "hypervisor/scratch_budget.hpp"

namespace stillpoint::hypervisor::qmp {

/// A snapshot of a VM over QMP; the order of commands is that of ADR-0008.
class QmpSnapshot final : public Snapshot {
public:
    QmpSnapshot(std::shared_ptr<QmpClient> client, Session session, env::Peer qemu,
                const env::Clock& clock);
    /// What scratch may use at most; nullopt: what is free.
    void limit_scratch(std::optional<ByteCount> budget) { scratch_configured_ = budget; }
    QmpSnapshot(const QmpSnapshot&) = delete;
    QmpSnapshot& operator=(const QmpSnapshot&) = delete;
    ~QmpSnapshot() override;

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
    enum class Phase { planned, prepared, taken, ended };

    Status check_run_state(const env::Deadline& deadline);
    Status check_disks_unchanged(const env::Deadline& deadline);
    Status add_nodes(const SessionDisk& disk, const env::Deadline& deadline);
    Status start_nbd_server(const env::Deadline& deadline);
    Result<SnapshotTimes> take_with_filters(const env::Deadline& deadline);
    Result<SnapshotTimes> take_with_jobs(const env::Deadline& deadline);
    [[nodiscard]] std::vector<Command> instant_commands(bool stop_first) const;
    Status resume_vm();
    Status open_export(const SessionDisk& disk, const env::Deadline& deadline);
    Status prove_filters(const env::Deadline& deadline);
    Status prove_jobs(const env::Deadline& deadline);
    Status end_on(QmpClient& client, Outcome outcome, const env::Deadline& deadline);

    std::shared_ptr<QmpClient> client_;
    Session session_;
    env::Peer qemu_;
    const env::Clock& clock_;
    std::optional<PhaseFile> phase_file_;
    std::optional<ByteCount> scratch_configured_;
    std::optional<ScratchBudget> scratch_budget_;  // from prepare() on
    Phase phase_ = Phase::planned;
    Outcome outcome_ = Outcome::failed;  // as end() was told last; the destructor repeats it
};

}  // namespace stillpoint::hypervisor::qmp
