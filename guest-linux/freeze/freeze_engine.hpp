#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "freeze/freeze_lock.hpp"
#include "freeze/freeze_run.hpp"
#include "serialization/messages.hpp"

namespace stillpoint::linux_guest {

/// What a freeze achieved; times are boottime.
struct FreezeReport {
    os::Nanoseconds first_freeze{};
    os::Nanoseconds frozen{};
    std::vector<serialization::Evidence> evidence;
};

/// Makes the machine's filesystems stand still, and go on. @threads one at a time
class FreezeEngine {
public:
    virtual ~FreezeEngine() = default;
    /// Other rules from the next freeze on. Not while a freeze is under way.
    virtual void use(const FreezeRules& rules) = 0;
    /// What would be frozen now. @errors as plan_freeze; corrupt, io
    virtual Result<std::vector<serialization::Volume>> volumes() = 0;
    /// Writes dirty data out long before the window, until `until` at the latest.
    virtual Status write_out(os::Nanoseconds until, os::Waiter& waiter) = 0;
    /// Plans, opens, syncs and freezes. After an error call thaw.
    /// @errors those of FreezeLock::take and of FreezeRun's start, sync and freeze · busy, id
    ///         "freeze.stuck": an earlier freeze of a filesystem has still not returned
    virtual Result<FreezeReport> freeze(const FreezeBudgets& budgets, os::Waiter& waiter) = 0;
    /// Looks for what may go wrong; with `dry_run` freezes and thaws each filesystem by itself,
    /// under the watchdog. Not while a freeze is under way.
    virtual serialization::Diagnosis examine(bool dry_run, os::Waiter& waiter) = 0;
    /// While frozen: what to poll on, until when the freeze lasts, and the regular care.
    virtual void watch(std::vector<pollfd>& descriptors) const = 0;
    virtual Status tend() = 0;
    /// Thaws; the second time it tells the same again.
    virtual ThawReport thaw(os::Waiter& waiter) = 0;
};

/// The real one. Reads the mount table and sysfs anew for each freeze.
class SystemFreezeEngine final : public FreezeEngine {
public:
    explicit SystemFreezeEngine(FreezeRules rules, FreezePlaces places = {})
        : rules_(std::move(rules)), places_(std::move(places)) {}
    /// @errors as FreezeEngine::volumes
    [[nodiscard]] Result<FreezePlan> plan();
    void use(const FreezeRules& rules) override { rules_ = rules; }
    Result<std::vector<serialization::Volume>> volumes() override;
    Status write_out(os::Nanoseconds until, os::Waiter& waiter) override;
    Result<FreezeReport> freeze(const FreezeBudgets& budgets, os::Waiter& waiter) override;
    serialization::Diagnosis examine(bool dry_run, os::Waiter& waiter) override;
    void watch(std::vector<pollfd>& descriptors) const override;
    Status tend() override;
    ThawReport thaw(os::Waiter& waiter) override;

private:
    Status start(os::Waiter& waiter, const FreezeSurvival& survival);
    Result<FreezePlan> plan_with_scan(os::Nanoseconds age_max);
    [[nodiscard]] FreezeSurvival survival() const;
    Status try_one(const FreezePlan& plan, const Target& target, serialization::MountCheck& check,
                   os::Waiter& waiter);
    void try_all(const FreezePlan& plan, serialization::Diagnosis& diagnosis, os::Waiter& waiter);
    FreezeRules rules_;
    FreezePlaces places_;
    std::optional<FreezeLock> lock_;             // from the freeze to the end of the thaw
    std::optional<os::HardenedScope> hardened_;  // so too
    os::UniqueFd cgroup_;
    ProcessScan scan_;  // of other processes; kept from Prepare to Freeze, where time is short
    os::Nanoseconds scanned_{};
    std::unique_ptr<FreezeRun> run_;
    std::unique_ptr<FreezeRun> stuck_;  // one whose FIFREEZE did not return
    ThawReport last_;
};

/// As the message Welcome tells them; pure.
[[nodiscard]] std::vector<serialization::Volume> volumes_of(const FreezePlan& plan);

}  // namespace stillpoint::linux_guest
