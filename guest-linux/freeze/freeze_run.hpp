#pragma once
#include <string>
#include <vector>

#include "freeze/freeze_table.hpp"
#include "freeze/freezer.hpp"
#include "freeze/open_target.hpp"
#include "freeze/plan.hpp"
#include "freeze/watchdog.hpp"
#include "os/process.hpp"
#include "os/waiter.hpp"
#include "serialization/evidence.hpp"

namespace stillpoint::linux_guest {

struct FreezeBudgets {
    os::Nanoseconds freeze = std::chrono::seconds{5};  // for all FIFREEZE calls together
    os::Nanoseconds hold = std::chrono::seconds{5};    // from the first FIFREEZE until the thaw
};

/// What outlives the agent; all may be left out.
struct FreezeSurvival {
    int lock_fd = -1;          // kept open by every process of the freeze
    std::string state_file;    // in memory: what is frozen, for a restarted agent
    int cgroup_procs_fd = -1;  // of the cgroup that these processes move to
};

/// What a thaw found; times are boottime.
struct ThawReport {
    bool held = false;  // every filesystem we froze was still frozen when we thawed it, in time
    os::Nanoseconds thaw{};    // before the first FITHAW
    os::Nanoseconds thawed{};  // after the last
    os::Nanoseconds own{};     // of both together, what was not spent in FIFREEZE and FITHAW
    std::vector<serialization::Evidence> evidence;
    std::string problem;  // why it was not held; empty when it was
};

/// One freeze from plan to thaw: owns the freezer processes and the line to the watchdog. Each
/// FIFREEZE and FITHAW runs in a child, so that this process can never be stuck in one.
/// Destroying it while something is frozen makes the watchdog thaw (the line breaks).
/// Order of calls: start, sync, freeze, (tend)*, thaw. @threads the owner's; no other thread may
/// exist in the process when it starts
class FreezeRun {
public:
    /// Opens the targets and starts watchdog and freezers; nothing is frozen yet. A target that can
    /// no longer be opened becomes uncovered.
    /// @errors unsupported, id "freeze.nothing": no target · unsupported, id "freeze.uncovered":
    ///         the mode is strict and one must be left out · io: no processes or descriptors ·
    ///         timeout, id "freeze.watchdog": it was not ready in time · cancelled
    [[nodiscard]] static Result<FreezeRun> start(FreezePlan plan, os::Waiter& waiter,
                                                 const FreezeSurvival& survival = {});
    FreezeRun(FreezeRun&&) = default;
    FreezeRun& operator=(FreezeRun&&) = delete;
    ~FreezeRun();

    /// Writes dirty data out while the guest still runs: shortens the window from seconds to
    /// milliseconds. Repeats while that takes long, since dirt gathers meanwhile.
    /// @param until boottime after which it is given up
    /// @errors timeout, id "freeze.sync_timeout", with the filesystem's name · cancelled · io
    Status sync(os::Nanoseconds until, os::Waiter& waiter);

    /// Arms the watchdog, then freezes level by level. After an error call thaw at once: some may
    /// be frozen.
    /// One that cannot be frozen makes the mode strict fail; in best effort the others are enough,
    /// and it counts as uncovered. One that does not return fails both.
    /// @errors busy, id "freeze.foreign": somebody else holds one frozen · timeout, id
    ///         "freeze.timeout" · io, id "freeze.failed" · io, id "freeze.freezer_died" or
    ///         "freeze.watchdog_died" · timeout, id "freeze.deadline" · cancelled
    Status freeze(const FreezeBudgets& budgets, os::Waiter& waiter);

    /// While frozen: poll on these, and call tend when one is ready or at least every
    /// heartbeat_every.
    void watch(std::vector<pollfd>& descriptors) const;
    /// Sends the heartbeat. @errors as freeze: the freeze is broken, call thaw at once
    Status tend();

    /// Thaws all that we froze, from the base up, then disarms the watchdog. Whatever went wrong
    /// before, what can be thawed is thawed: by the freezers, or else by the rescuers.
    ThawReport thaw(os::Waiter& waiter);

    [[nodiscard]] os::Nanoseconds first_freeze() const { return first_freeze_; }
    [[nodiscard]] os::Nanoseconds frozen() const { return frozen_; }
    [[nodiscard]] os::Nanoseconds deadline() const { return deadline_; }
    /// As in the message Frozen: per filesystem, duration = its FIFREEZE call.
    [[nodiscard]] std::vector<serialization::Evidence> frozen_evidence() const;
    /// Names of filesystems whose freezer or rescuer has not come to an end; empty: all is clean.
    [[nodiscard]] std::vector<std::string> stuck() const;
    [[nodiscard]] const FreezePlan& plan() const { return plan_; }

private:
    struct Unit {
        OpenTarget opened;
        os::UniqueFd socket;  // to its freezer
        os::Child freezer;
        bool waiting = false;                          // an order is not answered yet
        os::Nanoseconds due = os::Nanoseconds::max();  // boottime until which it is waited for
        bool dead = false;
    };
    FreezeRun(FreezePlan plan, FreezeTable table, FreezeSurvival survival)
        : plan_(std::move(plan)), survival_(std::move(survival)), table_(std::move(table)) {}

    void open_targets();
    void name_rows();
    [[nodiscard]] std::vector<int> kept_by_all() const;
    Status start_watchdog(const std::vector<os::FdPair>& alive);
    Status start_freezer(std::size_t index, os::UniqueFd alive);
    Status expect_news(WatchdogNews wanted, os::Waiter& waiter);
    Status arm(const FreezeBudgets& budgets, os::Waiter& waiter);
    Status freeze_level(int level, os::Nanoseconds until, os::Waiter& waiter);
    [[nodiscard]] Status allow_uncovered() const;
    [[nodiscard]] Status judge_refused(const Unit* unit) const;
    [[nodiscard]] os::Nanoseconds first_due() const;
    void order(Unit& unit, FreezerOrder what);
    Status await(os::Nanoseconds until, os::Waiter& waiter);
    void beat();
    Status thaw_in_order(os::Waiter& waiter);
    void rescue(os::Waiter& waiter);
    void disarm();
    [[nodiscard]] bool unsettled() const;
    [[nodiscard]] os::Nanoseconds own_time(os::Nanoseconds thawing) const;
    [[nodiscard]] std::string waiting_names() const;
    [[nodiscard]] Status judge_level(int level) const;
    [[nodiscard]] bool any_frozen() const;
    [[nodiscard]] serialization::Evidence thawed_evidence(const Unit& unit,
                                                          const FreezeRow& row) const;
    void add_uncovered(std::vector<serialization::Evidence>& evidence) const;

    FreezePlan plan_;
    FreezeSurvival survival_;
    FreezeTable table_;
    std::vector<Unit> units_;  // as the table's rows
    os::UniqueFd watchdog_;    // the line to it; closed when it is no longer needed or gone
    os::Nanoseconds first_freeze_{};
    os::Nanoseconds frozen_{};
    os::Nanoseconds deadline_{};
    os::Nanoseconds beat_at_{};
    bool complete_ = false;  // all levels are frozen
    std::string problem_;    // the first thing that broke the freeze
};

}  // namespace stillpoint::linux_guest
