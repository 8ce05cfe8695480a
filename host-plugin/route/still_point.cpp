#include "route/still_point.hpp"

#include <algorithm>

#include "env/random.hpp"

namespace stillpoint::route {

StillPoint::StillPoint(const BackupServices& services, StillPointOptions options,
                       const env::CancelToken& cancel)
    : services_(services), options_(options), cancel_(cancel) {}

StillPoint::~StillPoint() {
    if (client_ && owes_finish_) client_->cancel("the backup ended early");
}

void StillPoint::note(const std::string& code, const std::string& text) {
    services_.reporter.log(Severity::warning, "guest: " + text);
    conversation_.problems.push_back({code, text});
}

void StillPoint::give_up(const std::string& step, const Error& error) {
    note(error.id, step + ": " + error.text);
}

env::Deadline StillPoint::within(env::Nanoseconds budget) const {
    return {services_.clock, budget};
}

void StillPoint::prepare(const hypervisor::VmInfo& vm, const std::string& job_id) {
    if (vm.state == hypervisor::VmState::paused) {
        note("guest.not_asked", "the VM was paused when the backup began, and its guest not asked");
        return;
    }
    if (vm.guest_channel.empty()) {
        note("guest.no_channel",
             "the VM has no port org.stillpoint.guest.0, or --guest-channel was not given");
        return;
    }
    auto client =
        services_.connect_guest(vm.guest_channel, vm.uuid, within(options_.greet_budget), cancel_);
    if (!client) return give_up("greeting the extension", client.error());
    client_ = std::move(*client);
    conversation_.welcome = client_->welcome();
    conversation_.job_id = job_id;
    owes_finish_ = true;
    const serialization::Prepare request{.job_id = job_id,
                                         .wanted = conversation_.welcome->hooks_configured
                                                       ? serialization::Level::application
                                                       : serialization::Level::filesystem,
                                         .type = options_.type,
                                         .hooks_budget_ns = options_.hooks_budget.count(),
                                         .freeze_budget_ns = options_.freeze_budget.count()};
    // Hooks that use up their budget in vain are undone before the guest answers: as long again.
    auto prepared =
        client_->prepare(request, within(2 * options_.hooks_budget + options_.answer_margin));
    if (!prepared) return give_up("preparing", prepared.error());
    conversation_.retry_later = prepared->retry_later;
    conversation_.prepared = std::move(*prepared);
}

void StillPoint::freeze() {
    if (!client_ || !conversation_.prepared || !conversation_.prepared->freeze_needed) return;
    conversation_.lease_id = env::random_hex(16);
    conversation_.freeze_sent = services_.clock.monotonic();
    const bool writers = conversation_.welcome->os == "windows";
    const env::Nanoseconds extra = writers ? options_.writers_budget : env::Nanoseconds::zero();
    auto frozen = client_->freeze(
        {.lease_id = conversation_.lease_id, .hold_budget_ns = options_.freeze_budget.count()},
        within(options_.freeze_budget + options_.answer_margin + extra));
    if (!frozen) {
        // The guest's own word; the host's silence or a guest that is gone are not.
        if (frozen.error().code == Errc::busy) conversation_.retry_later = true;
        return give_up("freezing", frozen.error());
    }
    conversation_.frozen_heard = services_.clock.monotonic();
    conversation_.frozen = std::move(*frozen);
}

void StillPoint::thaw(Snapshot snapshot) {
    if (!client_ || conversation_.lease_id.empty()) return;
    conversation_.thaw_sent = services_.clock.monotonic();
    auto thawed = client_->thaw(
        {.lease_id = conversation_.lease_id, .snapshot_taken = snapshot == Snapshot::taken},
        within(options_.freeze_budget + options_.answer_margin));
    if (!thawed) return give_up("thawing", thawed.error());
    conversation_.thawed_heard = services_.clock.monotonic();
    if (thawed->retry_later) conversation_.retry_later = true;
    conversation_.thawed = std::move(*thawed);
}

void StillPoint::finish(Outcome outcome) {
    if (!client_ || !owes_finish_) return;
    owes_finish_ = false;
    auto finished =
        client_->finish({.job_id = conversation_.job_id, .success = outcome == Outcome::success},
                        within(options_.hooks_budget + options_.answer_margin));
    if (!finished) {
        give_up("finishing", finished.error());
        client_->cancel("no answer to Finish");
        return;
    }
    conversation_.finished = std::move(*finished);
}

bool StillPoint::owes_complete() const {
    return conversation_.finished && conversation_.frozen &&
           std::ranges::count(conversation_.welcome->features, guest::completes_feature) > 0;
}

std::vector<serialization::Warning> complete_guest(const BackupServices& services,
                                                   const StillPointOptions& options,
                                                   const hypervisor::VmInfo& vm,
                                                   const serialization::Complete& word) {
    const auto within = [&](env::Nanoseconds budget) {
        return env::Deadline{services.clock, budget};
    };
    const auto alert = [](const Error& error) {
        return std::vector<serialization::Warning>{
            {"guest.complete", "the guest was not told how the backup ended: " + error.text}};
    };
    const env::CancelToken never;
    auto client =
        services.connect_guest(vm.guest_channel, vm.uuid, within(options.greet_budget), never);
    if (!client) return alert(client.error());
    const auto completed =
        (*client)->complete(word, within(options.hooks_budget + options.answer_margin));
    if (!completed) return alert(completed.error());
    std::vector<serialization::Warning> alerts;
    for (const serialization::Evidence& writer : completed->evidence) {
        alerts.push_back({"writer.end_failed",
                          "the data is good, but the writer failed at the end: " + writer.name +
                              " (" + writer.note + ")"});
    }
    return alerts;
}

}  // namespace stillpoint::route
