#include "sim/sim_guest.hpp"

namespace stillpoint::sim {
namespace {

using quiesce::Event;
using serialization::Evidence;
using serialization::EvidenceKind;
using serialization::Level;

// The guest's clock is another one than the host's.
constexpr env::Nanoseconds guest_clock_ahead = std::chrono::seconds{77};

std::int64_t by_guest_clock(env::Nanoseconds time) {
    return (time + guest_clock_ahead).count();
}

/// @threads one at a time
class SimGuest final : public guest::GuestClient {
public:
    SimGuest(Stage& stage, const env::CancelToken& cancel) : stage_(stage), cancel_(cancel) {
        welcome_.agent_version = "sim";
        welcome_.os = "linux";
        welcome_.journal = "clean";
        welcome_.hooks_configured = script().hooks;
        welcome_.volumes = {{.name = "/", .type = "ext4", .device = "254:0"}};
    }
    SimGuest(const SimGuest&) = delete;
    SimGuest& operator=(const SimGuest&) = delete;
    ~SimGuest() override {
        if (!stage_.dead) model().channel_lost(now());
    }

    [[nodiscard]] const serialization::Welcome& welcome() const override { return welcome_; }

    Result<serialization::Prepared> prepare(const serialization::Prepare& request,
                                            const env::Deadline& deadline) override {
        return ask<serialization::Prepared>("Prepare", Event::prepare, deadline, Heeds::cancel,
                                            [&] { return prepared(request); });
    }
    Result<serialization::Frozen> freeze(const serialization::Freeze& request,
                                         const env::Deadline& deadline) override {
        model().hold_budget = env::Nanoseconds{request.hold_budget_ns};
        return ask<serialization::Frozen>("Freeze", Event::freeze, deadline, Heeds::cancel,
                                          [&] { return frozen(request); });
    }
    Result<serialization::Thawed> thaw(const serialization::Thaw& request,
                                       const env::Deadline& deadline) override {
        return ask<serialization::Thawed>("Thaw", Event::thaw, deadline, Heeds::nothing,
                                          [&] { return thawed(request); });
    }
    Result<serialization::Finished> finish(const serialization::Finish& request,
                                           const env::Deadline& deadline) override {
        return ask<serialization::Finished>("Finish", Event::finish, deadline, Heeds::nothing,
                                            [&] { return finished(request.job_id); });
    }
    void cancel(const std::string&) noexcept override {
        (void)ask<serialization::Finished>("Cancel", Event::cancel,
                                           {stage_.clock, guest::cancel_budget}, Heeds::nothing,
                                           [&] { return finished(""); });
    }
    Result<env::Nanoseconds> ping(const env::Deadline&) override { return env::Nanoseconds{1}; }

private:
    enum class Heeds { nothing, cancel };

    [[nodiscard]] GuestModel& model() const { return stage_.machine.guest; }
    [[nodiscard]] const GuestScript& script() const { return model().script; }
    [[nodiscard]] env::Nanoseconds now() const { return stage_.clock.monotonic(); }

    template <class Answer, class Make>
    Result<Answer> ask(const std::string& request, Event event, const env::Deadline& deadline,
                       Heeds heeds, Make&& make) {
        return stage_.call("guest." + request, [&]() -> Result<Answer> {
            if (heeds == Heeds::cancel) SP_TRY(cancel_.check());
            if (stage_.machine.state == RunState::off) return lost();
            if (script().at == request && script().manner == Manner::dies) {
                if (event == Event::freeze) model().request(event, now());
                model().die();
            }
            if (model().dead()) return lost();
            model().request(event, now());
            silent_ = silent_ || (script().at == request && script().manner == Manner::silent);
            if (silent_) return timed_out(deadline);
            return make();
        });
    }

    static tl::unexpected<Error> lost() {
        return fail(Errc::io, "guest.lost", "the guest's port was closed");
    }
    tl::unexpected<Error> timed_out(const env::Deadline& deadline) {
        stage_.clock.pass(deadline.left());
        model().look_at(now());
        return fail(Errc::timeout, "guest.timeout", "the guest did not answer");
    }

    Result<serialization::Prepared> prepared(const serialization::Prepare& request) const {
        serialization::Prepared out{.job_id = request.job_id};
        if (script().hooks) out.evidence.push_back(hook("pre"));
        if (script().manner == Manner::hook_fails || script().manner == Manner::hook_refuses) {
            for (Evidence& evidence : out.evidence) evidence.quiesced = false;
        }
        if (script().hooks && script().manner == Manner::hook_refuses)
            out.refusal = "hook db failed";
        return out;
    }

    Result<serialization::Frozen> frozen(const serialization::Freeze& request) {
        if (!model().frozen()) return fail(Errc::refused, "guest.error", "could not freeze");
        const bool lies = script().manner == Manner::wrong_lease;
        lease_ = request.lease_id;
        return serialization::Frozen{.lease_id = lies ? "another" : request.lease_id,
                                     .first_freeze_ns = by_guest_clock(model().first_freeze),
                                     .frozen_ns = by_guest_clock(model().frozen_at),
                                     .evidence = {root({})}};
    }

    Result<serialization::Thawed> thawed(const serialization::Thaw& request) const {
        if (request.lease_id != lease_ && !lease_.empty()) {
            stage_.broken_rule("Thaw is about another freeze");
        }
        const GuestModel& guest = model();
        serialization::Thawed out{.lease_id = request.lease_id,
                                  .held = guest.held && script().manner != Manner::not_held,
                                  .first_freeze_ns = by_guest_clock(guest.first_freeze),
                                  .frozen_ns = by_guest_clock(guest.frozen_at),
                                  .thaw_ns = by_guest_clock(guest.thaw_at),
                                  .thawed_ns = by_guest_clock(guest.thawed_at),
                                  .evidence = {root(guest.thawed_at - guest.first_freeze)}};
        if (script().manner == Manner::short_hold) out.frozen_ns = out.thawed_ns + 1;
        return out;
    }

    Result<serialization::Finished> finished(const std::string& job_id) const {
        serialization::Finished out{.job_id = job_id};
        if (script().hooks) out.evidence.push_back(hook("post"));
        return out;
    }

    static Evidence hook(const std::string& type) {
        return {.kind = EvidenceKind::hook, .name = "db", .type = type, .quiesced = true};
    }
    static Evidence root(env::Nanoseconds until) {
        return {.kind = EvidenceKind::filesystem,
                .name = "/",
                .type = "ext4",
                .quiesced = true,
                .duration_ns = until.count()};
    }

    Stage& stage_;
    env::CancelToken cancel_;
    serialization::Welcome welcome_;
    std::string lease_;
    bool silent_ = false;
};

}  // namespace

Result<std::unique_ptr<guest::GuestClient>> greet_guest(Stage& stage, const env::Deadline& deadline,
                                                        const env::CancelToken& cancel) {
    using Client = std::unique_ptr<guest::GuestClient>;
    return stage.call("guest.connect", [&]() -> Result<Client> {
        SP_TRY(cancel.check());
        const GuestModel& guest = stage.machine.guest;
        if (guest.script.manner == Manner::absent || guest.dead()) {
            stage.clock.pass(deadline.left());
            return fail(Errc::timeout, "guest.silent", "no extension answered");
        }
        return std::make_unique<SimGuest>(stage, cancel);
    });
}

serialization::Level level_of(const GuestScript& script) {
    const Level best = script.hooks ? Level::application : Level::filesystem;
    switch (script.manner) {
        case Manner::honest:
            return best;
        case Manner::silent:
        case Manner::dies:
            return script.at == "Finish" ? best : Level::crash;
        case Manner::hook_fails:
        case Manner::hook_refuses:
            return script.hooks ? Level::filesystem : best;
        case Manner::no_port:
        case Manner::absent:
        case Manner::wrong_lease:
        case Manner::not_held:
        case Manner::no_filesystem:
        case Manner::short_hold:
            break;
    }
    return Level::crash;
}

}  // namespace stillpoint::sim
