#pragma once
#include "hypervisor/hypervisor.hpp"
#include "keeper/keeper.hpp"
#include "sim/stage.hpp"

/// The hypervisor seam over a Machine, and a keeper that cleans it up.
namespace stillpoint::sim {

/// @threads one at a time
class SimVm final : public hypervisor::Vm {
public:
    explicit SimVm(Stage& stage) : stage_(stage) {}
    Result<hypervisor::VmInfo> inspect(const env::Deadline& deadline) override;
    Status remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                          const env::Deadline& deadline) override;
    Result<std::unique_ptr<hypervisor::Snapshot>> plan_snapshot(
        const hypervisor::SnapshotPlan& plan) override;

private:
    Stage& stage_;
};

/// As long as its owner lives it does nothing; let go without done() it ends the session.
class SimKeeper final : public keeper::KeeperHandle {
public:
    explicit SimKeeper(Stage& stage) : stage_(stage) {}
    SimKeeper(const SimKeeper&) = delete;
    SimKeeper& operator=(const SimKeeper&) = delete;
    ~SimKeeper() override;
    Status watch(const serialization::Value& document) override;
    Status publishing() override;
    Status beat() override { return {}; }
    [[nodiscard]] pid_t pid() const override { return 0; }
    Status done() override;
    keeper::Farewell hand_over() override;

private:
    Stage& stage_;
    bool watching_ = false;
};

[[nodiscard]] serialization::Value sim_document();

}  // namespace stillpoint::sim
