#include "hooks/hook_worker.hpp"

#include <utility>

namespace stillpoint::windows_guest {

// Everything that a hook starts is in a job of ours, and dies with us (os/job.hpp).
HookWorker::HookWorker(Parts parts)
    : parts_(std::move(parts)),
      engine_({parts_.executor, parts_.journal, os::now, parts_.log, parts_.boot_id,
               hooks::Orphans::die}) {}

void HookWorker::recover(const GuestConfig& config) {
    thread_.push([this, config] {
        engine_.recover(parts_.configured(config), steady_hands_);
        report({HookReport::Of::recovery, {}, {}, {}});
    });
}

void HookWorker::run_pre(const GuestConfig& config, const std::string& job_id,
                         os::nanoseconds until) {
    cancelled_.take_back();
    thread_.push([this, config, job_id, until] {
        std::vector<hooks::Hook> all = parts_.configured(config);
        engine_.recover(all, steady_hands_);
        auto told = engine_.run_pre(std::move(all), job_id, until, {hands_, steady_hands_});
        report({HookReport::Of::pre, std::move(told), {}, {}});
    });
}

void HookWorker::find_lost() {
    thread_.push([this] { report({HookReport::Of::lost, {}, engine_.lost(), {}}); });
}

void HookWorker::finish(bool success) {
    thread_.push([this, success] {
        std::vector<serialization::Evidence> evidence = engine_.lost();
        const auto ended = engine_.finish(success, steady_hands_);
        evidence.insert(evidence.end(), ended.begin(), ended.end());
        report({HookReport::Of::end, {}, std::move(evidence), {}});
    });
}

void HookWorker::report(HookReport told) {
    told.journal = engine_.journal_state();
    parts_.deliver(std::move(told));
}

}  // namespace stillpoint::windows_guest
