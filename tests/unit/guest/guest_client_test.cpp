#include "guest/guest_client.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <thread>

#include "fakes/fake_extension.hpp"

using namespace stillpoint;
using namespace stillpoint::guest;
using namespace std::chrono_literals;

namespace {

const env::SystemClock real_clock;

struct Folder {
    env::TemporaryFolder folder =
        env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-guest-").value();
    env::Path socket = folder.path() / "port";
};

env::Deadline in(env::Nanoseconds budget) {
    return {real_clock, budget};
}

Result<std::unique_ptr<GuestClient>> connect(const Folder& folder, env::Nanoseconds budget = 10s,
                                             const env::CancelToken& cancel = {}) {
    return connect_guest(folder.socket, "uuid", in(budget), cancel, real_clock);
}

std::unique_ptr<GuestClient> connect_with(const Folder& folder, const Heartbeat& heartbeat) {
    return connect_guest(folder.socket, "uuid", in(10s), {}, real_clock, heartbeat).value();
}

}  // namespace

TEST_CASE("guest/client: a whole conversation, and the guest ends idle") {
    const Folder folder;
    const fakes::FakeExtension fake{folder.socket, {}, real_clock};
    auto client = connect(folder).value();
    CHECK(client->welcome().volumes.size() == 2);
    CHECK(client->prepare({.job_id = "job"}, in(10s)).value().job_id == "job");
    CHECK(client->ping(in(10s)).value() > 0ns);
    CHECK(client->freeze({.lease_id = "lease"}, in(10s)).value().lease_id == "lease");
    CHECK(client->thaw({.lease_id = "lease", .snapshot_taken = true}, in(10s)).value().held);
    CHECK(client->thaw({.lease_id = "lease"}, in(10s)).value().held);  // said again, told again
    CHECK(client->finish({.job_id = "job", .success = true}, in(10s)).value().evidence.size() == 1);
    CHECK(fake.record().state == quiesce::State::idle);
    CHECK(fake.record().posts == 1);
    CHECK(fake.record().last_post_success);
}

TEST_CASE("guest/client: nobody there") {
    const Folder folder;
    CHECK(connect(folder).error().code == Errc::not_found);
}

TEST_CASE("guest/client: a second host is queued silently and gets its turn") {
    const Folder folder;
    const fakes::FakeExtension fake{folder.socket, {}, real_clock};
    auto first = connect(folder).value();
    const auto second = connect(folder, 20ms);
    CHECK(second.error().id == "guest.silent");
    first.reset();
    // The queued Hello of the host that gave up lies in front of ours: another session, dropped.
    CHECK(connect(folder));
}

TEST_CASE("guest/client: a host that vanishes leaves a guest that thaws and runs its post hooks") {
    const Folder folder;
    const fakes::FakeExtension fake{folder.socket, {}, real_clock};
    auto client = connect(folder).value();
    REQUIRE(client->prepare({.job_id = "job"}, in(10s)));
    REQUIRE(client->freeze({.lease_id = "lease"}, in(10s)));
    client.reset();
    CHECK(fake.settles());
    CHECK(fake.record().thaws == 1);
    CHECK(fake.record().posts == 1);
    CHECK_FALSE(fake.record().last_post_success);
}

TEST_CASE("guest/client: a cancelled job stops waiting, but can still thaw and finish") {
    const Folder folder;
    const fakes::FakeExtension fake{folder.socket, {}, real_clock};
    env::CancelToken cancel;
    auto client = connect(folder, 10s, cancel).value();
    REQUIRE(client->prepare({.job_id = "job"}, in(10s)));
    REQUIRE(client->freeze({.lease_id = "lease"}, in(10s)));
    cancel.cancel();
    CHECK(client->ping(in(1h)).error().code == Errc::cancelled);
    CHECK(client->thaw({.lease_id = "lease"}, in(10s)));
    CHECK(client->finish({.job_id = "job"}, in(10s)));
}

TEST_CASE("guest/client: Cancel ends a freeze") {
    const Folder folder;
    const fakes::FakeExtension fake{folder.socket, {}, real_clock};
    auto client = connect(folder).value();
    REQUIRE(client->prepare({.job_id = "job"}, in(10s)));
    REQUIRE(client->freeze({.lease_id = "lease"}, in(10s)));
    client->cancel("test");
    CHECK(fake.record().state == quiesce::State::idle);
    CHECK(fake.record().thaws == 1);
    CHECK(client->prepare({.job_id = "job2"}, in(10s)));  // the session goes on
}

TEST_CASE("guest/client: the guest's deadline thaws; a late Thaw is told that it did not hold") {
    const Folder folder;
    const fakes::FakeExtension fake{folder.socket, {}, real_clock};
    auto client = connect(folder).value();
    REQUIRE(client->prepare({.job_id = "job"}, in(10s)));
    REQUIRE(client->freeze({.lease_id = "lease", .hold_budget_ns = 1'000'000}, in(10s)));
    while (fake.record().thaws == 0) REQUIRE(client->ping(in(10s)));
    CHECK_FALSE(client->thaw({.lease_id = "lease"}, in(10s)).value().held);
}

TEST_CASE("guest/client: a request out of order is the guest's error, and may be tried again") {
    const Folder folder;
    const fakes::FakeExtension fake{folder.socket, {}, real_clock};
    auto client = connect(folder).value();
    const auto frozen = client->freeze({.lease_id = "lease"}, in(10s));
    CHECK(frozen.error().id == "guest.error");
    CHECK(frozen.error().code == Errc::busy);
    CHECK(frozen.error().text.find("protocol.order") != std::string::npos);
}

TEST_CASE("guest/client: log lines are kept up to a limit and cleaned") {
    const Folder folder;
    fakes::ExtensionScript script;
    script.chatter_bytes = (guest_log_lines_max + 10) * 1000;
    const fakes::FakeExtension fake{folder.socket, script, real_clock};
    auto client = connect(folder).value();
    REQUIRE(client->prepare({.job_id = "job"}, in(10s)));
    CHECK(client->take_logs().size() == guest_log_lines_max);
    CHECK(client->take_logs().empty());
}

TEST_CASE("guest/client: a guest that dies at work is not waited for until the deadline") {
    const Folder folder;
    const fakes::FakeExtension fake{
        folder.socket, {.misdeed = fakes::Misdeed::death, .at = "Prepare"}, real_clock};
    auto client = connect_with(folder, {.ask_every = 1ms, .silence_max = 20ms, .last_word = 1ms});
    CHECK(client->prepare({.job_id = "job"}, in(24h)).error().id == "guest.gone");
    // What is owed to it is said all the same, and not waited for.
    CHECK(client->thaw({.lease_id = "lease"}, in(24h)).error().code == Errc::timeout);
    CHECK(client->finish({.job_id = "job"}, in(24h)).error().code == Errc::timeout);
    const auto heard = [&](const char* kind) {
        return std::ranges::count(fake.record().received, kind) > 0;
    };
    while (!heard("Thaw") || !heard("Finish")) std::this_thread::yield();
}

TEST_CASE("guest/client: a guest that is busy is asked whether it is there, and has its time") {
    const Folder folder;
    const fakes::FakeExtension fake{
        folder.socket, {.misdeed = fakes::Misdeed::silence, .at = "Freeze"}, real_clock};
    auto client = connect_with(folder, {.ask_every = 1ms, .silence_max = 1h});
    REQUIRE(client->prepare({.job_id = "job"}, in(10s)));
    CHECK(client->freeze({.lease_id = "lease"}, in(50ms)).error().id == "guest.timeout");
    CHECK(client->thaw({.lease_id = "lease"}, in(10s)).value().lease_id == "lease");
    const auto received = fake.record().received;
    CHECK(std::ranges::count(received, "Ping") > 0);
}
