#pragma once
#include <atomic>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "env/cancel.hpp"
#include "fakes/fault_store.hpp"
#include "sim/model_vm.hpp"
#include "sim/sim_clock.hpp"
#include "sim/turns.hpp"

/// What surrounds one backup of the simulation: every call across a seam passes through here, where
/// time goes on, the guest works, and the one thing that the plan says goes wrong.
namespace stillpoint::sim {

/// The last things that happened, for a failure's report. @threads any
class Trace {
public:
    void add(std::string line);
    [[nodiscard]] std::string text() const;
    /// A number that is the same for the same happenings.
    [[nodiscard]] std::uint64_t digest() const;

private:
    mutable std::mutex mutex_;
    std::deque<std::string> lines_;
    std::uint64_t digest_ = 1469598103934665603ull;
};

/// What happens at one call across a seam, counted from the run's start.
enum class Incident {
    none,
    call_fails,   // nothing is done
    answer_lost,  // it is done, and the answer is an error
    cancelled,
    owner_dies,  // kill -9: no later call has an effect
    qemu_killed,
    host_power_lost,  // owner, QEMU and the guest's unflushed writes
    shut_down,
    job_ended,  // by somebody else: the view shows live data from now on, without an error
    scratch_full,
    extension_dies,
    time_jumps,  // two hours: the host slept
    slow_host,   // longer than any freeze may last
};
[[nodiscard]] const char* name_of(Incident incident);

struct RunPlan {
    Incident incident = Incident::none;
    std::uint64_t at_call = 0;
    fakes::Fault store_fault = fakes::Fault::none;
    std::size_t store_call = 0;
    bool store_takes_owner = false;  // one machine: with its power the owner goes as well
    bool keeper_works = true;
    GuestScript guest;
    Mode mode = Mode::copy_before_write;
    std::uint64_t scratch_cells = 1u << 20;
    bool broken_reads_fail = false;
    std::uint64_t busy_guest = 2;  // most operations per call
};

/// The content of all planned disks at the instant, and what the guest was doing.
struct Instant {
    std::string point_id;
    struct Disk {
        std::string name;
        Cells cells;
        std::uint64_t dirty_bytes = 0;  // that the frozen bitmap shows
    };
    std::vector<Disk> disks;
    bool guest_frozen = false;
};

/// @threads call() one at a time: the route's own thread, or the disk thread whose turn it is
class Stage {
public:
    Stage(Machine& on_machine, SimClock& on_clock, Trace& into, RunPlan with, Dice dice)
        : machine(on_machine),
          clock(on_clock),
          trace(into),
          plan(std::move(with)),
          turns(dice.fork()),
          dice_(dice) {}

    /// One call across a seam, unless its failure is planned.
    template <class Do>
    auto call(const std::string& seam, Do&& act) -> decltype(act()) {
        const Verdict verdict = enter(seam);
        if (verdict == Verdict::fails) return failure(seam);
        auto done = act();
        if (dead || verdict == Verdict::answer_lost) return failure(seam);
        return done;
    }
    /// From now on nothing has an effect, as if the owner's process had ended.
    void owner_dies();
    /// From the first disturbance on the guest rests and time stands still until the run is over:
    /// what follows in parallel then leaves no trace in the model (see README.md, determinism).
    void quiet() { quiet_ = true; }
    /// Something that is not a fault of the code under test went wrong in this run.
    [[nodiscard]] bool disturbed() const { return disturbed_; }
    void disturb() { disturbed_ = true; }
    void broken_rule(const std::string& text);

    Machine& machine;
    SimClock& clock;
    Trace& trace;
    const RunPlan plan;
    Turns turns;
    env::CancelToken cancel;
    std::atomic<bool> dead{false};
    std::vector<Instant> instants;
    std::optional<RunState> first_seen;     // what the route found the VM in
    std::vector<std::string> broken_rules;  // what a fake saw the route do wrong

private:
    enum class Verdict { done, fails, answer_lost };
    Verdict enter(const std::string& seam);
    Verdict strike();
    void strike_machine();
    void pass(env::Nanoseconds time);
    static tl::unexpected<Error> failure(const std::string& seam) {
        return fail(Errc::io, "sim.fault", seam + ": fault on request");
    }

    Dice dice_;
    std::uint64_t calls_ = 0;
    std::atomic<bool> quiet_{false};
    std::atomic<bool> disturbed_{false};
};

/// The vault's store as one run sees it: the planned fault, and none of its calls after the owner's
/// death. @threads any, concurrently
class StageStore final : public vault::BlockStore {
public:
    StageStore(vault::BlockStore& below, Stage& stage)
        : stage_(stage), faulty_(below, stage.plan.store_fault, stage.plan.store_call) {}
    Status put(const std::string& name, ByteView bytes) override {
        return guarded([&] { return faulty_.put(name, bytes); });
    }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        return guarded([&] { return faulty_.get(name, at, length); });
    }
    Result<ByteCount> size(const std::string& name) override {
        return guarded([&] { return faulty_.size(name); });
    }
    Result<std::vector<vault::ObjectInfo>> list(const std::string& prefix) override {
        return guarded([&] { return faulty_.list(prefix); });
    }
    Status remove(const std::string& name) override {
        return guarded([&] { return faulty_.remove(name); });
    }
    [[nodiscard]] std::string describe() const override { return faulty_.describe(); }
    [[nodiscard]] std::size_t calls() const { return faulty_.calls(); }
    /// The object of which only half is there; empty: none.
    [[nodiscard]] std::string torn() const { return faulty_.torn(); }

private:
    template <class Do>
    auto guarded(Do&& act) -> decltype(act()) {
        if (stage_.dead) return fail(Errc::io, "sim.dead", "the owner is dead");
        auto done = act();
        if (faulty_.struck()) {
            stage_.disturb();
            stage_.quiet();
            if (stage_.plan.store_takes_owner) stage_.dead = true;
        }
        return done;
    }
    Stage& stage_;
    fakes::FaultStore faulty_;
};

}  // namespace stillpoint::sim
