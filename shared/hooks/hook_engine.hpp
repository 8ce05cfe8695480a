#pragma once
#include <functional>
#include <string>
#include <vector>

#include "hooks/hook_result.hpp"
#include "hooks/journal_store.hpp"

namespace stillpoint::hooks {

/// One execution.
struct HookOrder {
    const Hook& hook;
    const HookCommand& command;
    HookPhase phase = HookPhase::pre;
    std::string job_id;
    std::string result;     // STILLPOINT_RESULT; empty for pre
    Nanoseconds timeout{};  // after it everything the phase has started is killed
    // Done right before the command begins: it is executed exactly if this was.
    std::function<Status()> commit = {};
    std::vector<int> keep = {};  // descriptors that a child holds until it is the hook
};

/// What runs for hooks, and their places: the system, or a fake.
class HookSystem {
public:
    virtual ~HookSystem() = default;
    /// Before a hook's pre: nothing of an earlier run is left, its state folder is new.
    virtual Status begin(const Hook& hook) = 0;
    /// Kills what a phase has left running, also that of an earlier life of this program.
    virtual void kill(const Hook& hook, HookPhase phase) = 0;
    /// Whether something of a phase still runs.
    [[nodiscard]] virtual bool running(const Hook& hook, HookPhase phase) = 0;
    /// After its post or abort: kills what it left running, removes its state folder.
    virtual void end(const Hook& hook) = 0;
};

enum class Paused { to_the_end, cancelled };

/// How commands are executed and time passes: either so that it can be cancelled, or not.
class HookHands {
public:
    virtual ~HookHands() = default;
    virtual HookResult execute(const HookOrder& order) = 0;
    /// @param until by the engine's clock; once cancelled it stays so until its owner says
    /// otherwise
    virtual Paused pause(Nanoseconds until) = 0;
};

/// What becomes of a command under way when this program is killed.
enum class Orphans {
    go_on,  // it is found again by the next life of the program
    die,    // with the program: nothing of an earlier life is under way
};

/// Runs the hooks of one backup: pre in order, then post or abort in reverse, exactly once for each
/// pre that was started.
/// @threads one at a time
class HookEngine {
public:
    struct Parts {
        HookSystem& system;
        HookJournalStore& journal;
        std::function<Nanoseconds()> now;  // monotonic, counting while the machine sleeps
        std::function<void(const std::string&, bool good)> log;  // a line for each that ended
        std::string boot_id;  // the same until the machine is started again
        Orphans orphans = Orphans::go_on;
    };
    /// Two ways to act: a pre may be cancelled, what ends a hook may not.
    struct Hands {
        HookHands& cancellable;
        HookHands& steady;
    };
    struct PreReport {
        std::vector<serialization::Evidence> evidence;  // one per hook
        bool freeze_needed = true;
        std::string refusal;  // of a hook whose failure is the backup's; empty: go on
    };
    explicit HookEngine(Parts parts) : parts_(std::move(parts)) {}

    /// Runs every pre in order. After a failure that gives the application up, what was started is
    /// aborted before this returns; after a cancel that is left to `finish`.
    /// @param until by `now`: no pre runs longer
    PreReport run_pre(std::vector<Hook> hooks, const std::string& job_id, Nanoseconds until,
                      const Hands& hands);
    /// Ends every hook that is owed its end, in reverse order. @return evidence of every post and
    /// abort since run_pre
    std::vector<serialization::Evidence> finish(bool success, HookHands& steady);
    /// Hooks whose pre left something running, to hold a lock, that runs no longer: they hold
    /// nothing any more. @return one piece of evidence against each; once told it is not repeated
    std::vector<serialization::Evidence> lost();
    /// Ends what an earlier life of this program, or of the guest, has left: once, in reverse
    /// order, before anything else. Called again it does nothing, unless it could not lock the
    /// journal.
    /// @param hooks  as configured now: one that is gone can only be reported
    void recover(const std::vector<Hook>& hooks, HookHands& steady);
    /// For Welcome: "clean", or what recover found and did; stays until hooks have run again.
    [[nodiscard]] const std::string& journal_state() const { return journal_state_; }

private:
    struct Active {
        Hook hook;
        quiesce::PreResult result = quiesce::PreResult::not_started;
        bool left_running = false;
    };
    quiesce::PreResult start(Active& active, Nanoseconds until, HookHands& hands,
                             PreReport& report);
    HookOutcome start_pre(const Hook& hook, Nanoseconds until, HookHands& hands);
    void undo_after(std::size_t failed, PreReport& report, HookHands& steady);
    void end(Active& active, quiesce::Ending ending, HookHands& steady);
    HookOutcome run_tries(HookOrder order, Nanoseconds until, HookHands& hands);
    bool wait_before_retry(const HookCommand& command, int executions, Nanoseconds until,
                           HookHands& hands);
    void log(const Hook& hook, HookPhase phase, const HookOutcome& outcome);

    [[nodiscard]] quiesce::HookJournal journal_with(const std::string& name,
                                                    quiesce::HookStep step) const;
    void note_step(const std::string& name, quiesce::HookStep step);
    void forget(const std::string& name);
    void write_journal();
    std::string recover_one(const quiesce::HookJournalEntry& entry, const std::vector<Hook>& hooks,
                            bool same_boot, HookHands& steady);
    void wait_for_end(const Hook& hook, HookHands& steady);
    Status take_journal(HookHands& steady);

    Parts parts_;
    quiesce::HookJournal journal_;  // as on the disk
    std::string journal_state_ = "clean";
    bool locked_ = false;
    std::vector<Active> active_;  // owed their end, in the order of their pre
    std::vector<serialization::Evidence> ended_;
    bool given_up_ = false;
};

}  // namespace stillpoint::hooks
