#include "route/verdict.hpp"

namespace stillpoint::route {
namespace {

/// What is asked of a guest is the best it can give: application where hooks are configured.
serialization::Level asked_of(const Conversation& conversation) {
    return conversation.welcome && conversation.welcome->hooks_configured
               ? serialization::Level::application
               : serialization::Level::filesystem;
}

quiesce::Machine machine_of(const hypervisor::VmInfo& vm) {
    if (vm.state != hypervisor::VmState::shut_off) return quiesce::Machine::running;
    return vm.clean_shutdown ? quiesce::Machine::off_clean : quiesce::Machine::off_unproven;
}

quiesce::HostWindow window_of(const Conversation& conversation,
                              const hypervisor::SnapshotTimes& times) {
    return {.freeze_sent_ns = conversation.freeze_sent.count(),
            .frozen_received_ns = conversation.frozen_heard.count(),
            .snapshot_before_ns = times.before.count(),
            .snapshot_after_ns = times.after.count(),
            .thaw_sent_ns = conversation.thaw_sent.count(),
            .thawed_received_ns = conversation.thawed_heard.count(),
            .paused_ns = times.paused ? times.paused->count() : 0};
}

}  // namespace

quiesce::LevelResult judge(const Conversation& conversation, const hypervisor::SnapshotTimes& times,
                           const hypervisor::VmInfo& vm) {
    quiesce::LevelInput input;
    input.asked = asked_of(conversation);
    input.machine = machine_of(vm);
    input.job_id = conversation.job_id;
    input.lease_id = conversation.lease_id;
    input.welcome = conversation.welcome;
    input.prepared = conversation.prepared;
    input.frozen = conversation.frozen;
    input.thawed = conversation.thawed;
    input.finished = conversation.finished;
    input.window = window_of(conversation, times);
    input.earlier = conversation.problems;
    quiesce::LevelResult result = quiesce::compute_level(input);
    if (conversation.welcome && !conversation.welcome->journal.empty() &&
        conversation.welcome->journal != "clean") {
        result.warnings.push_back(
            {"hook.journal", "the guest's hooks were not ended in time once before: " +
                                 conversation.welcome->journal});
    }
    if (!conversation.job_id.empty()) {
        for (auto& alert : quiesce::judge_finish(conversation.finished, conversation.job_id)) {
            result.warnings.push_back(std::move(alert));
        }
        if (conversation.finished) {
            for (const auto& fact : conversation.finished->evidence) {
                result.evidence.push_back(fact);
            }
        }
    }
    return result;
}

}  // namespace stillpoint::route
