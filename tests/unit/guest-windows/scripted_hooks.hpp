#pragma once
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "hooks/hook_worker.hpp"

/// Hooks by a script: commands that end as the test says, and a journal in memory.
namespace stillpoint::test {

/// @threads any
class ScriptedHooks final : public windows_guest::HookExecutor, public hooks::HookJournalStore {
public:
    void add(const std::string& name, quiesce::OnFailure on_failure = quiesce::OnFailure::fallback);
    void fail_in(const std::string& what);  // "10-a pre"
    /// The command of this name runs until it is cancelled.
    void hang_in(const std::string& what);
    /// What its pre left running, to hold a lock, runs no longer.
    void lose(const std::string& name);
    void owe(quiesce::HookJournal journal);
    [[nodiscard]] std::vector<hooks::Hook> configured();
    /// "10-a pre, 10-a post success"
    [[nodiscard]] std::string story();
    void await(const std::string& story);

    Status begin(const hooks::Hook&) override { return {}; }
    hooks::HookResult execute(const hooks::HookOrder& order,
                              windows_guest::Cancellation& cancelled) override;
    void kill(const hooks::Hook&, hooks::HookPhase) override {}
    bool running(const hooks::Hook& hook, hooks::HookPhase) override;
    void end(const hooks::Hook&) override {}
    Status lock() override { return {}; }
    [[nodiscard]] std::vector<int> held() const override { return {}; }
    Result<std::optional<quiesce::HookJournal>> read() override;
    Status write(const quiesce::HookJournal& journal) override;
    Status set_aside() override { return {}; }

private:
    std::mutex lock_;
    std::condition_variable changed_;
    std::vector<hooks::Hook> configured_;
    std::map<std::string, bool> fails_, hangs_, holds_;
    std::string story_;
    std::optional<quiesce::HookJournal> journal_;
};

}  // namespace stillpoint::test
