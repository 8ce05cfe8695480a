#include "hypervisor/qmp/client.hpp"

#include <doctest/doctest.h>

#include "fake_monitor.hpp"

using namespace stillpoint;
using namespace stillpoint::test;
using namespace stillpoint::hypervisor::qmp;
using namespace std::chrono_literals;

namespace {

const env::SystemClock real_clock;

env::Deadline within(env::Nanoseconds budget = 10s) {
    return env::Deadline{real_clock, budget};
}

QmpClient connected(const FakeMonitor& monitor) {
    auto client = QmpClient::connect(monitor.path(), within());
    if (!client) FAIL(client.error().text);
    return std::move(*client);
}

Error connect_error(const std::function<void(Script&)>& script, env::Nanoseconds budget = 10s) {
    const FakeMonitor monitor{script};
    auto client = QmpClient::connect(monitor.path(), within(budget));
    REQUIRE_FALSE(client);
    return client.error();
}

}  // namespace

TEST_CASE("qmp/client: capabilities are negotiated, commands carry arguments and ids") {
    std::string negotiated, command;
    FakeMonitor monitor{[&](Script& script) {
        script.send(greeting);
        negotiated = script.line();
        script.send("{\"return\": {}, \"id\": 1}");
        command = script.line();
        script.send(R"({"return": {"x": 5}, "id": 2})");
        script.until_client_leaves();
    }};
    {
        QmpClient client = connected(monitor);
        CHECK(client.version() == Version{7, 2, 22});
        const auto value = client.execute("qom-get", {{"path", "/a"}}, within());
        CHECK(value.value().integer_or("x", 0) == 5);
    }
    CHECK(negotiated == R"({"execute":"qmp_capabilities","id":1})");
    CHECK(command == R"({"arguments":{"path":"/a"},"execute":"qom-get","id":2})");
}

TEST_CASE("qmp/client: refusals keep QEMU's words and get codes") {
    FakeMonitor monitor{[](Script& script) {
        script.welcome();
        script.line();
        script.send(R"({"error": {"class": "GenericError", "desc": "no room"}, "id": 2})");
        script.line();
        script.send(R"({"error": {"class": "CommandNotFound", "desc": "what?"}, "id": 3})");
        script.line();
        script.send(R"({"error": {"class": "DeviceNotFound", "desc": "where?"}})");
        script.line();
        script.send(R"({"return": {}, "id": 5})");
    }};
    QmpClient client = connected(monitor);
    const Status refused = client.run("a", {}, within());
    CHECK(refused.error().code == Errc::io);
    CHECK(refused.error().id == "qmp.refused");
    CHECK(refused.error().text == "a: no room");
    CHECK(is_refusal(refused.error()));
    CHECK(client.run("b", {}, within()).error().code == Errc::unsupported);
    CHECK(client.run("c", {}, within()).error().code == Errc::not_found);
    CHECK(client.run("d", {}, within()));  // a refusal breaks nothing
}

TEST_CASE("qmp/client: several commands go out in one piece; the first refusal is told") {
    std::string last;
    FakeMonitor monitor{[&](Script& script) {
        script.welcome();
        script.line();
        script.line();
        last = script.line();  // all three came before any reply
        script.send(R"({"event": "STOP"} {"return": {}, "id": 2})");
        script.send(R"({"error": {"class": "GenericError", "desc": "no"}, "id": 3})");
        script.send(R"({"return": {}, "id": 4})");
        script.line();
        script.send(R"({"return": {}, "id": 5})");
    }};
    QmpClient client = connected(monitor);
    const Status status =
        client.run_all({{"stop", {}}, {"transaction", {}}, {"qom-set", {}}}, within());
    CHECK(status.error().text == "transaction: no");
    CHECK(client.take_event([](const Event& e) { return e.name == "STOP"; }).has_value());
    CHECK(client.run("cont", {}, within()));
    CHECK(last == R"({"execute":"qom-set","id":4})");
}

TEST_CASE("qmp/client: a late reply is dropped, not taken for the next command's") {
    FakeMonitor monitor{[](Script& script) {
        script.welcome();
        script.line();
        script.line();
        script.send(R"({"return": {"late": true}, "id": 2} {"return": {"late": false}, "id": 3})");
        script.until_client_leaves();
    }};
    QmpClient client = connected(monitor);
    const auto slow = client.execute("slow", {}, within(50ms));
    CHECK(slow.error().code == Errc::timeout);
    CHECK_FALSE(client.broken());
    CHECK_FALSE(client.execute("next", {}, within()).value().boolean_or("late", true));
}

TEST_CASE("qmp/client: events wait aside, in order, and others stay") {
    FakeMonitor monitor{[](Script& script) {
        script.welcome();
        script.line();
        script.send(R"({"event": "A", "data": {"n": 1}} {"event": "B"})");
        script.send(R"({"return": {}, "id": 2} {"event": "A", "data": {"n": 2}})");
        script.until_client_leaves();
    }};
    QmpClient client = connected(monitor);
    REQUIRE(client.run("x", {}, within()));
    const auto is_a = [](const Event& event) { return event.name == "A"; };
    const auto is_b = [](const Event& event) { return event.name == "B"; };
    CHECK(client.wait_event(is_a, within()).value().data.integer_or("n", 0) == 1);
    CHECK(client.wait_event(is_a, within()).value().data.integer_or("n", 0) == 2);
    CHECK(client.take_event(is_b).has_value());
    CHECK_FALSE(client.take_event(is_b).has_value());
    CHECK(client.wait_event(is_b, within(50ms)).error().code == Errc::timeout);
}

TEST_CASE("qmp/client: a flood of events is bounded; the newest stay") {
    FakeMonitor monitor{[](Script& script) {
        script.welcome();
        script.line();
        for (std::size_t n = 0; n < events_max + 10; ++n) {
            script.send(R"({"event": "A", "data": {"n": )" + std::to_string(n) + "}}");
        }
        script.send(R"({"return": {}, "id": 2})");
    }};
    QmpClient client = connected(monitor);
    REQUIRE(client.run("x", {}, within()));
    const auto any = [](const Event&) { return true; };
    CHECK(client.take_event(any)->data.integer_or("n", 0) == 10);
}

TEST_CASE("qmp/client: who does not greet is busy; who does not speak QMP is malformed") {
    CHECK(connect_error([](Script& script) { script.until_client_leaves(); }, 50ms).id ==
          "qmp.busy");
    CHECK(connect_error([](Script& script) { script.send("SSH-2.0-OpenSSH_9.2\r\n"); }).id ==
          "qmp.malformed");
    CHECK(connect_error([](Script& script) { script.send(R"({"event": "A"})"); }).id ==
          "qmp.malformed");
    CHECK(connect_error([](Script&) {}).id == "socket.closed");
}

TEST_CASE(
    "qmp/client: what a killed client left unread comes before the greeting, and is skipped") {
    for (const char* left : {R"({"return": {}, "id": 12}
{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}
)",
                             R"(rn": {"name": "QMP"}, "id": 3}
{"return": "QMP", "id": 4}
)"}) {
        const FakeMonitor monitor{[&](Script& script) {
            script.send(left);
            script.welcome();
            script.line();
            script.send(R"({"return": {"x": 1}, "id": 2})");
        }};
        QmpClient client = connected(monitor);
        CHECK(client.version() == Version{7, 2, 22});
        CHECK(client.execute("a", {}, within()).value().integer_or("x", 0) == 1);
    }
}

TEST_CASE("qmp/client: a lost or spoilt connection stays lost") {
    FakeMonitor monitor{[](Script& script) {
        script.welcome();
        script.line();
        script.send("}}}\n");
    }};
    QmpClient client = connected(monitor);
    CHECK(client.run("x", {}, within()).error().id == "qmp.malformed");
    CHECK(client.broken());
    CHECK(client.run("y", {}, within()).error().id == "qmp.malformed");
    CHECK_FALSE(client.wait_event([](const Event&) { return true; }, within()));
}

TEST_CASE("qmp/client: replies of 10 MiB are taken, of more than 16 MiB refused") {
    FakeMonitor monitor{[](Script& script) {
        script.welcome();
        const std::string item = R"({"node-name": ")" + std::string(4000, 'n') + "\"},";
        const auto answer = [&](std::size_t bytes) {
            script.line();
            script.send(R"({"return": [)");
            for (std::size_t sent = 0; sent < bytes; sent += item.size()) script.send(item);
            script.send("{}], \"id\": 2}");
        };
        answer(10u << 20);
        answer(17u << 20);
        script.until_client_leaves();
    }};
    QmpClient client = connected(monitor);
    CHECK(client.execute("query-named-block-nodes", {}, within()).value().array()->size() > 2600);
    CHECK(client.execute("again", {}, within()).error().id == "qmp.malformed");
}
