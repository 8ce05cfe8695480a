#include "hooks/hook_runner.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include "hooks/hook_environment.hpp"
#include "hooks/output_tail.hpp"
#include "os/child_process.hpp"
#include "os/com.hpp"
#include "os/output_pipe.hpp"
#include "os/trusted_path.hpp"

namespace stillpoint::windows_guest {
namespace {

using hooks::HookEnd;
using hooks::HookOrder;
using hooks::HookPhase;
using hooks::HookResult;
using os::nanoseconds;

std::string key_of(const hooks::Hook& hook, HookPhase phase) {
    return hook.name + "." + hooks::text_of(phase);
}

/// One execution, from the judgement of its file to the end of everything that must not outlive it.
class Run {
public:
    Run(const HookOrder& order, const os::Job& job, Cancellation& cancelled)
        : order_(order), job_(job), cancelled_(cancelled) {}

    HookResult go(const SystemHooks::Places& places, const std::string& state_folder) {
        const nanoseconds begin = os::now();
        // Held until the end: scripts are read while they run.
        auto file = os::TrustedPath::open(order_.command.command, os::TrustedPath::Kind::file,
                                          places.trust);
        const Status started = file ? start(places, state_folder) : Status{fail(file.error())};
        if (!started) {
            result_.output = started.error().text;
            return std::move(result_);
        }
        wait(begin + order_.timeout);
        // What a failed try left behind would work against the next, or against post.
        if (!result_.succeeded()) job_.kill();
        drain();
        result_.output = tail_.take();
        result_.duration = os::now() - begin;
        return std::move(result_);
    }

private:
    Status start(const SystemHooks::Places& places, const std::string& state_folder) {
        SP_TRY(output_.open());
        const os::ChildProcess::Order child{
            command_line_of(order_.command, places.system),
            environment_block(places.inherited, hooks::hook_environment(order_, state_folder),
                              places.system),
            places.system.windows, output_.writer()};
        SP_ASSIGN(child_, os::ChildProcess::start_suspended(child));
        output_.close_writer();
        const Status begun = begin_to_run();
        if (begun) return {};
        child_.kill();  // it may not have come as far as the job
        job_.kill();
        return begun;
    }

    /// The child does not run yet: it is in its job, and what is owed is on the disk, before it
    /// does.
    Status begin_to_run() {
        SP_TRY(job_.add(child_.process()));
        if (order_.commit) SP_TRY(order_.commit());
        return child_.resume();
    }

    void wait(nanoseconds until) {
        const std::array<HANDLE, 3> watched{child_.process(), output_.readable(),
                                            cancelled_.wake().handle()};
        for (;;) {
            drain();
            if (const auto code = child_.exit_code()) {
                result_.end = HookEnd::exited;
                result_.status = static_cast<int>(*code);
                return;
            }
            if (cancelled_.asked()) return kill(HookEnd::cancelled);
            const nanoseconds left = until - os::now();
            if (left <= nanoseconds::zero()) return kill(HookEnd::timed_out);
            const auto left_ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
            ::WaitForMultipleObjects(static_cast<DWORD>(watched.size()), watched.data(), FALSE,
                                     static_cast<DWORD>(left_ms));
        }
    }

    void kill(HookEnd end) {
        job_.kill();
        result_.end = end;
    }

    void drain() {
        output_.drain([this](std::string_view piece) { tail_.add(piece); });
    }

    const HookOrder& order_;
    const os::Job& job_;
    Cancellation& cancelled_;
    os::OutputPipe output_;
    os::ChildProcess child_;
    hooks::OutputTail tail_;
    HookResult result_;
};

}  // namespace

std::string SystemHooks::folder_of(const hooks::Hook& hook) const {
    return places_.state + "\\" + hook.name;
}

Result<const os::Job*> SystemHooks::job_of(const hooks::Hook& hook, HookPhase phase) {
    const std::string key = key_of(hook, phase);
    const auto found = jobs_.find(key);
    if (found != jobs_.end()) return &found->second;
    SP_ASSIGN(os::Job job, os::Job::make());
    return &jobs_.emplace(key, std::move(job)).first->second;
}

Status SystemHooks::begin(const hooks::Hook& hook) {
    end(hook);
    const std::string folder = folder_of(hook);
    std::error_code error;
    std::filesystem::create_directories(os::to_wide(folder), error);
    if (error) return os::call_failed("create " + folder, static_cast<DWORD>(error.value()));
    return {};
}

HookResult SystemHooks::execute(const HookOrder& order, Cancellation& cancelled) {
    const auto job = job_of(order.hook, order.phase);
    if (job) return Run{order, **job, cancelled}.go(places_, folder_of(order.hook));
    HookResult refused;
    refused.output = job.error().text;
    return refused;
}

void SystemHooks::kill(const hooks::Hook& hook, HookPhase phase) {
    const auto found = jobs_.find(key_of(hook, phase));
    if (found != jobs_.end()) found->second.kill();
}

bool SystemHooks::running(const hooks::Hook& hook, HookPhase phase) {
    const auto found = jobs_.find(key_of(hook, phase));
    return found != jobs_.end() && !found->second.empty();
}

void SystemHooks::end(const hooks::Hook& hook) {
    for (const HookPhase phase : {HookPhase::abort, HookPhase::post, HookPhase::pre}) {
        kill(hook, phase);
        jobs_.erase(key_of(hook, phase));
    }
    std::error_code ignored;  // it is emptied again before the next pre
    std::filesystem::remove_all(os::to_wide(folder_of(hook)), ignored);
}

Variables own_environment() {
    Variables all;
    wchar_t* const block = ::GetEnvironmentStringsW();
    for (const wchar_t* at = block; at != nullptr && *at != 0;) {
        const std::wstring_view line{at};
        at += line.size() + 1;
        const std::size_t equals = line.find(L'=', 1);  // "=C:=C:\…" is cmd.exe's own
        if (equals == std::wstring_view::npos) continue;
        all.emplace_back(os::to_utf8(line.data(), static_cast<int>(equals)),
                         os::to_utf8(line.data() + equals + 1));
    }
    ::FreeEnvironmentStringsW(block);
    return all;
}

}  // namespace stillpoint::windows_guest
