#include "freeze/freeze_engine.hpp"

#include "freeze/identity.hpp"
#include "os/fd.hpp"

namespace stillpoint::linux_guest {

using os::Nanoseconds;

namespace {

/// With the longest FIFREEZE allowed, the answer is on its way before the host stops waiting (its
/// margin is 5 s). Prepare has written the bulk out before.
constexpr Nanoseconds last_sync_max = std::chrono::seconds{4};
/// The walk over all processes is done in Prepare; at Freeze the applications already stand still.
constexpr Nanoseconds scan_age_max = std::chrono::minutes{2};

/// Ways into superblocks that no table shows; nearly always there are none.
void add_handles(ProcessScan& scan, const SysfsFacts& facts, const MountTable& mounts) {
    std::set<DeviceId> wanted;
    for (const auto& [device, type] : facts.live) wanted.insert(device);
    std::set<int> known;
    const auto take = [&](const MountTable& table) {
        for (const Mount& mount : table.mounts()) {
            wanted.erase(mount.device);
            known.insert(mount.id);
        }
    };
    take(mounts);
    for (const OtherNamespace& other : scan.namespaces) take(other.mounts);
    if (!wanted.empty()) find_handles(scan, wanted, known);
}

}  // namespace

Result<FreezePlan> SystemFreezeEngine::plan() {
    return plan_with_scan(Nanoseconds::zero());
}

/// @param age_max how old the picture of other processes may be; mounts are always read anew
Result<FreezePlan> SystemFreezeEngine::plan_with_scan(Nanoseconds age_max) {
    SP_ASSIGN(const std::string text, os::read_file("/proc/self/mountinfo", mountinfo_bytes_max));
    SP_ASSIGN(const MountTable mounts, MountTable::parse(text));
    SysfsFacts facts = read_sysfs(mounts);
    const bool fresh = scanned_ != Nanoseconds::zero() && os::boottime() - scanned_ < age_max;
    if (!fresh) scan_ = scan_processes();
    for (const OtherNamespace& other : scan_.namespaces) add_sysfs(facts, other.mounts);
    if (!fresh) add_handles(scan_, facts, mounts);
    if (!fresh) scanned_ = os::boottime();
    if (rules_.need_identity()) {
        facts.identities = read_identities(mounts, facts);
        for (const OtherNamespace& other : scan_.namespaces) {
            facts.identities.merge(read_identities(other.mounts, facts));
        }
    }
    return plan_freeze(mounts, facts, rules_, scan_);
}

Result<std::vector<serialization::Volume>> SystemFreezeEngine::volumes() {
    SP_ASSIGN(const FreezePlan planned, plan());
    return volumes_of(planned);
}

Status SystemFreezeEngine::start(os::Waiter& waiter, const FreezeSurvival& survival) {
    SP_ASSIGN(FreezePlan planned, plan_with_scan(scan_age_max));
    SP_ASSIGN(FreezeRun run, FreezeRun::start(std::move(planned), waiter, survival));
    run_ = std::make_unique<FreezeRun>(std::move(run));
    return {};
}

FreezeSurvival SystemFreezeEngine::survival() const {
    FreezeSurvival survival;
    survival.lock_fd = lock_ ? lock_->fd() : -1;
    if (is_memory(places_.folder)) survival.state_file = places_.state_file();
    survival.cgroup_procs_fd = cgroup_.get();
    return survival;
}

Status SystemFreezeEngine::write_out(Nanoseconds until, os::Waiter& waiter) {
    scanned_ = {};
    SP_TRY(start(waiter, {}));
    const Status synced = run_->sync(until, waiter);
    run_.reset();
    return synced;
}

Result<FreezeReport> SystemFreezeEngine::freeze(const FreezeBudgets& budgets, os::Waiter& waiter) {
    last_ = {};
    run_.reset();
    if (stuck_ && !stuck_->stuck().empty()) {
        return fail(Errc::busy, "freeze.stuck",
                    "an earlier freeze of " + stuck_->stuck().front() + " has still not returned",
                    "see the kernel's log for what blocks it");
    }
    stuck_.reset();
    SP_ASSIGN(lock_, FreezeLock::take(places_, waiter));
    if (!cgroup_.valid()) cgroup_ = os::make_cgroup("stillpoint-freeze");
    hardened_.emplace();
    SP_TRY(start(waiter, survival()));
    SP_TRY(run_->sync(os::boottime() + last_sync_max, waiter));
    SP_TRY(run_->freeze(budgets, waiter));
    return FreezeReport{run_->first_freeze(), run_->frozen(), run_->frozen_evidence()};
}

void SystemFreezeEngine::watch(std::vector<pollfd>& descriptors) const {
    if (run_) run_->watch(descriptors);
}

Status SystemFreezeEngine::tend() {
    return run_ ? run_->tend() : Status{};
}

ThawReport SystemFreezeEngine::thaw(os::Waiter& waiter) {
    if (run_) {
        last_ = run_->thaw(waiter);
        if (!run_->stuck().empty()) stuck_ = std::move(run_);
        run_.reset();
    }
    hardened_.reset();
    lock_.reset();
    return last_;
}

std::vector<serialization::Volume> volumes_of(const FreezePlan& plan) {
    std::vector<serialization::Volume> volumes;
    for (const Target& target : plan.targets) {
        volumes.push_back({target.name, target.type, target.device.text(), target.can_freeze, false,
                           target.can_freeze ? "" : "cannot be frozen; is synced instead"});
    }
    for (const Uncovered& left : plan.uncovered) {
        volumes.push_back(
            {left.name, left.type, left.device.text(), false, left.excluded, left.note});
    }
    return volumes;
}

}  // namespace stillpoint::linux_guest
