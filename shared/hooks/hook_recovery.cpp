#include <algorithm>

#include "hooks/hook_engine.hpp"

/// The engine's journal: what is owed, kept before anything is started, and paid after a crash.
namespace stillpoint::hooks {

using quiesce::HookStep;

namespace {

constexpr Nanoseconds look_every = std::chrono::milliseconds{100};
// A child of an earlier life that is about to become a hook holds the lock for that long at most,
// unless its disk hangs.
constexpr Nanoseconds lock_wait_max = std::chrono::seconds{10};

}  // namespace

quiesce::HookJournal HookEngine::journal_with(const std::string& name, HookStep step) const {
    quiesce::HookJournal next = journal_;
    const auto entry = std::ranges::find(next.hooks, name, &quiesce::HookJournalEntry::name);
    if (entry == next.hooks.end()) {
        next.hooks.push_back({name, step});
    } else {
        entry->step = step;
    }
    return next;
}

void HookEngine::note_step(const std::string& name, HookStep step) {
    journal_ = journal_with(name, step);
    write_journal();
}

void HookEngine::forget(const std::string& name) {
    if (std::erase_if(journal_.hooks, [&](const auto& e) { return e.name == name; }) > 0) {
        write_journal();
    }
}

void HookEngine::write_journal() {
    if (const Status written = parts_.journal.write(journal_); !written) {
        parts_.log("the journal of hooks: " + written.error().text, false);
    }
}

Status HookEngine::take_journal(HookHands& steady) {
    const Nanoseconds until = parts_.now() + lock_wait_max;
    for (;;) {
        const Status locked = parts_.journal.lock();
        if (locked || locked.error().code != Errc::busy || parts_.now() >= until) return locked;
        steady.pause(std::min(parts_.now() + look_every, until));
    }
}

void HookEngine::recover(const std::vector<Hook>& hooks, HookHands& steady) {
    if (locked_) return;
    if (const Status taken = take_journal(steady); !taken) {
        journal_state_ = taken.error().text;
        return parts_.log("no hook can run: " + journal_state_, false);
    }
    locked_ = true;
    journal_state_ = "clean";
    auto found = parts_.journal.read();
    journal_.boot_id = parts_.boot_id;
    if (!found) {
        journal_state_ = found.error().text;
        parts_.log(journal_state_, false);
        if (const Status aside = parts_.journal.set_aside(); !aside) {
            parts_.log(aside.error().text, false);
        }
        return;
    }
    if (!*found) return;
    const bool same_boot = (*found)->boot_id == journal_.boot_id;
    journal_ = {.boot_id = journal_.boot_id, .job_id = (*found)->job_id, .hooks = (*found)->hooks};
    const std::vector<quiesce::HookJournalEntry> owed = journal_.hooks;
    journal_state_ = "recovered:";
    for (auto entry = owed.rbegin(); entry != owed.rend(); ++entry) {
        journal_state_ += " " + recover_one(*entry, hooks, same_boot, steady);
    }
    ended_.clear();
    parts_.log(journal_state_, false);
}

/// @return what was done, "NAME: WHAT;"
std::string HookEngine::recover_one(const quiesce::HookJournalEntry& entry,
                                    const std::vector<Hook>& hooks, bool same_boot,
                                    HookHands& steady) {
    const auto hook = std::ranges::find(hooks, entry.name, &Hook::name);
    if (hook == hooks.end() || hook->problem) {
        forget(entry.name);
        return entry.name + ": cannot be read any more, nothing was run;";
    }
    const bool may_go_on = same_boot && parts_.orphans == Orphans::go_on;
    if (quiesce::recovery_of(entry.step, may_go_on) == quiesce::Recovery::forget) {
        wait_for_end(*hook, steady);
        parts_.system.end(*hook);
        forget(entry.name);
        return entry.name + ": its end was under way and is not repeated;";
    }
    if (!same_boot) {
        // The state folder is gone with the earlier boot; the command finds an empty one.
        if (const Status ready = parts_.system.begin(*hook); !ready) {
            parts_.log(ready.error().text, false);
        }
    }
    // A pre that was cut must not go on beside its abort.
    if (entry.step == HookStep::pre) parts_.system.kill(*hook, HookPhase::pre);
    ended_.clear();
    Active active{*hook, quiesce::PreResult::cut};
    end(active, quiesce::Ending::aborted, steady);
    if (ended_.empty()) return entry.name + ": has neither abort nor post;";
    const serialization::Evidence& how = ended_.back();
    return entry.name + ": " + how.type + " " +
           (how.quiesced ? std::string("succeeded") : "failed (" + how.note + ")") + ";";
}

/// A post that outlived the program that started it may take as long as it always may.
void HookEngine::wait_for_end(const Hook& hook, HookHands& steady) {
    for (const HookPhase phase : {HookPhase::abort, HookPhase::post}) {
        const auto& command = phase == HookPhase::abort ? hook.abort : hook.post;
        const Nanoseconds until = parts_.now() + (command ? command->timeout : Nanoseconds{});
        while (parts_.system.running(hook, phase) && parts_.now() < until) {
            steady.pause(std::min(parts_.now() + look_every, until));
        }
    }
}

}  // namespace stillpoint::hooks
