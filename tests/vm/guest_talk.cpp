// guest_talk SOCKET STEP...: the host's own client speaks with the extension behind a port.
//
// Steps: prepare, prepare-application, freeze, freeze:HOLD_MS, ping, hold:MS (waits), hang-up
// (ends here without a word), thaw, finish, cancel. Prints one line per answer: the round trip in
// milliseconds, a space, the message as JSON. An error ends it: "error ID TEXT", exit 1.
#include <poll.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "guest/guest_client.hpp"

namespace {

using namespace stillpoint;
using namespace std::chrono_literals;
using serialization::Message;

struct Talk {
    const env::SystemClock clock{};
    env::CancelToken cancel;
    std::unique_ptr<guest::GuestClient> client;

    [[nodiscard]] env::Deadline within(env::Nanoseconds budget) const { return {clock, budget}; }
};

/// "hold:250" with prefix "hold:" is 250 ms.
std::int64_t number_after(const std::string& step, const char* prefix) {
    return std::strtoll(step.c_str() + std::string(prefix).size(), nullptr, 10) * 1'000'000;
}

template <class T>
Result<Message> message(Result<T> answer) {
    if (!answer) return fail(answer.error());
    return Message{*std::move(answer)};
}

Result<Message> ask(Talk& talk, const std::string& step) {
    const env::Deadline deadline = talk.within(30s);
    if (step.starts_with("prepare")) {
        serialization::Prepare request{.job_id = "talk"};
        if (step == "prepare-application") request.wanted = serialization::Level::application;
        return message(talk.client->prepare(request, deadline));
    }
    if (step.starts_with("freeze")) {
        serialization::Freeze request{.lease_id = "lease"};
        if (step.starts_with("freeze:")) request.hold_budget_ns = number_after(step, "freeze:");
        return message(talk.client->freeze(request, deadline));
    }
    if (step == "thaw") return message(talk.client->thaw({"lease", true}, deadline));
    if (step == "finish") return message(talk.client->finish({"talk", true}, deadline));
    if (step != "ping") return fail(Errc::invalid, "usage", "no such step: " + step);
    const auto answered = talk.client->ping(deadline);
    if (!answered) return fail(answered.error());
    return Message{serialization::Pong{}};
}

Status run(Talk& talk, const std::string& step) {
    if (step == "hang-up") std::_Exit(0);
    if (step.starts_with("hold:")) {
        ::poll(nullptr, 0, static_cast<int>(number_after(step, "hold:") / 1'000'000));
        return {};
    }
    if (step == "cancel") {
        talk.client->cancel("the test says so");
        return {};
    }
    const env::Nanoseconds begin = talk.clock.monotonic();
    SP_ASSIGN(const Message answer, ask(talk, step));
    std::printf("%.3f %s\n", env::to_ms(talk.clock.monotonic() - begin),
                serialization::message_to_json(answer).c_str());
    std::fflush(stdout);
    return {};
}

Status converse(Talk& talk, int argc, char** argv) {
    const env::Nanoseconds begin = talk.clock.monotonic();
    SP_ASSIGN(talk.client,
              guest::connect_guest(argv[1], "", talk.within(20s), talk.cancel, talk.clock));
    std::printf("%.3f %s\n", env::to_ms(talk.clock.monotonic() - begin),
                serialization::message_to_json(talk.client->welcome()).c_str());
    std::fflush(stdout);
    for (int i = 2; i < argc; ++i) SP_TRY(run(talk, argv[i]));
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fputs("usage: guest_talk SOCKET STEP...\n", stderr);
        return 2;
    }
    Talk talk;
    const Status done = converse(talk, argc, argv);
    if (!done) std::printf("error %s %s\n", done.error().id.c_str(), done.error().text.c_str());
    return done ? 0 : 1;
}
