#include "scripted_hooks.hpp"

#include <stdexcept>

namespace stillpoint::test {

using namespace hooks;

void ScriptedHooks::add(const std::string& name, quiesce::OnFailure on_failure) {
    Hook hook;
    hook.name = name;
    hook.on_failure = on_failure;
    hook.pre.command = "C:\\pre.exe";
    hook.post.emplace().command = "C:\\post.exe";
    const std::scoped_lock guard{lock_};
    configured_.push_back(std::move(hook));
    holds_[name] = true;
}

void ScriptedHooks::fail_in(const std::string& what) {
    const std::scoped_lock guard{lock_};
    fails_[what] = true;
}

void ScriptedHooks::hang_in(const std::string& what) {
    const std::scoped_lock guard{lock_};
    hangs_[what] = true;
}

void ScriptedHooks::lose(const std::string& name) {
    const std::scoped_lock guard{lock_};
    holds_[name] = false;
}

void ScriptedHooks::owe(quiesce::HookJournal journal) {
    const std::scoped_lock guard{lock_};
    journal_ = std::move(journal);
}

std::vector<Hook> ScriptedHooks::configured() {
    const std::scoped_lock guard{lock_};
    return configured_;
}

std::string ScriptedHooks::story() {
    const std::scoped_lock guard{lock_};
    return story_;
}

void ScriptedHooks::await(const std::string& story) {
    std::unique_lock guard{lock_};
    const bool came =
        changed_.wait_for(guard, std::chrono::seconds{20}, [&] { return story_ == story; });
    if (!came) throw std::runtime_error("hooks did: " + story_);
}

HookResult ScriptedHooks::execute(const HookOrder& order, windows_guest::Cancellation& cancelled) {
    HookResult result;
    if (order.commit && !order.commit()) return result;
    const std::string what = order.hook.name + " " + text_of(order.phase);
    bool hangs = false;
    {
        const std::scoped_lock guard{lock_};
        story_ +=
            (story_.empty() ? "" : ", ") + what + (order.result.empty() ? "" : " " + order.result);
        hangs = hangs_[what];
        result.end = HookEnd::exited;
        result.status = fails_[what] ? 1 : 0;
        result.output = "said something";
    }
    changed_.notify_all();
    if (!hangs) return result;
    const auto until = windows_guest::os::now() + order.timeout;
    while (!cancelled.asked() && windows_guest::os::now() < until) {
        cancelled.wake().wait_until(until);
    }
    result.end = cancelled.asked() ? HookEnd::cancelled : HookEnd::timed_out;
    return result;
}

bool ScriptedHooks::running(const Hook& hook, HookPhase phase) {
    const std::scoped_lock guard{lock_};
    return phase == HookPhase::pre && holds_[hook.name];
}

Result<std::optional<quiesce::HookJournal>> ScriptedHooks::read() {
    const std::scoped_lock guard{lock_};
    return journal_;
}

Status ScriptedHooks::write(const quiesce::HookJournal& journal) {
    const std::scoped_lock guard{lock_};
    journal_ = journal.hooks.empty() ? std::nullopt : std::optional{journal};
    return {};
}

}  // namespace stillpoint::test
