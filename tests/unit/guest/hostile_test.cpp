#include <doctest/doctest.h>

#include <algorithm>

#include "fakes/fake_extension.hpp"
#include "guest/guest_client.hpp"
#include "quiesce/level.hpp"

using namespace stillpoint;
using namespace std::chrono_literals;

namespace {

const env::SystemClock real_clock;

/// Generous where everything is answered, small where something is waited for in vain.
struct Budgets {
    env::Nanoseconds greet = 20s, answer = 20s, finish = 20s;
};

Budgets budgets_for(const fakes::HostileCase& item) {
    Budgets budgets;
    if (item.times_out) budgets.finish = 60ms;
    if (item.times_out && item.script.at != "Finish") {
        budgets.greet = 300ms;
        budgets.answer = 60ms;
    }
    return budgets;
}

/// A host that wants everything and goes on whatever happens, as the route does.
class Host {
public:
    explicit Host(const Budgets& budgets) : budgets_(budgets) {}
    quiesce::LevelResult run(const env::Path& socket) {
        in_.asked = serialization::Level::application;
        in_.job_id = "job";
        in_.lease_id = "lease";
        auto client = guest::connect_guest(socket, "uuid", within(budgets_.greet), {}, real_clock);
        if (!client) {
            note(client.error());
        } else {
            talk(**client);
        }
        return quiesce::compute_level(in_);
    }

private:
    static env::Deadline within(env::Nanoseconds budget) { return {real_clock, budget}; }
    static std::int64_t now_ns() { return real_clock.monotonic().count(); }
    void note(const Error& error) { in_.earlier.push_back({error.id, error.text}); }
    template <class T>
    void keep(Result<T> answer, std::optional<T>& place) {
        if (!answer) return note(answer.error());
        place = std::move(*answer);
    }
    void talk(guest::GuestClient& client) {
        in_.welcome = client.welcome();
        keep(client.prepare({.job_id = "job"}, within(budgets_.answer)), in_.prepared);
        quiesce::HostWindow window;
        if (in_.prepared) {
            window.freeze_sent_ns = now_ns();
            keep(client.freeze({.lease_id = "lease"}, within(budgets_.answer)), in_.frozen);
            window.frozen_received_ns = window.snapshot_before_ns = now_ns();
            window.snapshot_after_ns = window.thaw_sent_ns = now_ns();
            keep(client.thaw({.lease_id = "lease"}, within(budgets_.answer)), in_.thawed);
            window.thawed_received_ns = now_ns();
            in_.window = window;
        }
        keep(client.finish({.job_id = "job"}, within(budgets_.finish)), in_.finished);
    }

    Budgets budgets_;
    quiesce::LevelInput in_;
};

}  // namespace

TEST_CASE("guest/hostile: every misbehaviour costs the level it must, says why, and ends in time") {
    for (const fakes::HostileCase& item : fakes::hostile_cases()) {
        CAPTURE(item.script.name);
        const auto folder =
            env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-guest-")
                .value();
        const env::Path socket = folder.path() / "port";
        const fakes::FakeExtension fake{socket, item.script, real_clock};
        const quiesce::LevelResult result = Host{budgets_for(item)}.run(socket);
        CHECK(result.level == item.level);
        const bool said = std::any_of(result.warnings.begin(), result.warnings.end(),
                                      [&](const auto& w) { return w.code == item.reason; });
        CHECK(said == !item.reason.empty());
        if (item.reason.empty()) CHECK(result.warnings.empty());
        CHECK(fake.settles());  // the guest is never left frozen or owing a post hook
        CHECK(fake.record().freezes == fake.record().thaws);
    }
}
