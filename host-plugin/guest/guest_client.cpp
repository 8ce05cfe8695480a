#include "guest/guest_client.hpp"

#include <algorithm>
#include <cstring>

#include "env/random.hpp"
#include "guest/channel.hpp"
#include "serialization/version.hpp"

namespace stillpoint::guest {
namespace {

using serialization::Failure;
using serialization::Log;
using serialization::Message;
using serialization::Welcome;

constexpr std::string_view gone_id = "guest.gone";

serialization::SessionId random_session() {
    const Bytes bytes = env::random_bytes(sizeof(serialization::SessionId));
    return *ByteReader{bytes}.u64();
}

/// A timeout deep in the socket says too little: which answer did not come?
Error naming(std::string_view request, Error error) {
    if (error.code == Errc::timeout && error.id != gone_id) {
        error.id = "guest.timeout";
        error.text = "the guest did not answer " + std::string(request) + " in time";
        return error;
    }
    return in_step(request, std::move(error));
}

class ExtensionClient final : public GuestClient {
public:
    ExtensionClient(Channel channel, const env::CancelToken& cancel, const env::Clock& clock,
                    const Heartbeat& heartbeat)
        : channel_(std::move(channel)), cancel_(cancel), clock_(clock), heartbeat_(heartbeat) {}

    Status greet(const std::string& vm_uuid, const env::Deadline& deadline);

    [[nodiscard]] const Welcome& welcome() const override { return welcome_; }
    Result<serialization::Prepared> prepare(const serialization::Prepare& request,
                                            const env::Deadline& deadline) override {
        return ask<serialization::Prepared>(request, deadline, cancel_);
    }
    Result<serialization::Frozen> freeze(const serialization::Freeze& request,
                                         const env::Deadline& deadline) override {
        return ask<serialization::Frozen>(request, deadline, cancel_);
    }
    Result<serialization::Thawed> thaw(const serialization::Thaw& request,
                                       const env::Deadline& deadline) override {
        return ask<serialization::Thawed>(request, deadline, never_);
    }
    Result<serialization::Finished> finish(const serialization::Finish& request,
                                           const env::Deadline& deadline) override {
        return ask<serialization::Finished>(request, deadline, never_);
    }
    Result<serialization::Completed> complete(const serialization::Complete& request,
                                              const env::Deadline& deadline) override {
        return ask<serialization::Completed>(request, deadline, never_);
    }
    Result<serialization::Diagnosis> doctor(const serialization::Doctor& request,
                                            const env::Deadline& deadline) override {
        return ask<serialization::Diagnosis>(request, deadline, cancel_);
    }
    void cancel(const std::string& reason) noexcept override;
    Result<env::Nanoseconds> ping(const env::Deadline& deadline) override;
    [[nodiscard]] std::vector<Log> take_logs() override { return std::exchange(logs_, {}); }

private:
    template <class Answer, class Request>
    Result<Answer> ask(const Request& request, const env::Deadline& latest,
                       const env::CancelToken& cancel) {
        const env::Deadline deadline = gone_ ? latest.at_most(heartbeat_.last_word) : latest;
        if (auto sent = channel_.send(request, deadline, cancel); !sent) {
            return fail(naming(Request::kind, sent.error()));
        }
        WaitBudget budget;
        while (true) {
            auto message = hear(budget, deadline, cancel);
            if (!message) return fail(naming(Request::kind, message.error()));
            if (auto* answer = std::get_if<Answer>(&*message)) {
                if (answers(request, *answer)) return std::move(*answer);
                continue;
            }
            SP_TRY(take_aside(*message, Request::kind));
        }
    }
    template <class Request, class Answer>
    static bool answers(const Request&, const Answer&) {
        return true;
    }
    static bool answers(const serialization::Ping& ping, const serialization::Pong& pong) {
        return ping.number == pong.number;
    }
    Result<Message> hear(WaitBudget& budget, const env::Deadline& deadline,
                         const env::CancelToken& cancel);
    Status take_aside(Message& message, std::string_view request);
    Result<bool> await_welcome(WaitBudget& budget, const env::Deadline& deadline);
    [[nodiscard]] Error silent() const;

    Channel channel_;
    env::CancelToken cancel_;
    env::CancelToken never_;  // for what must go through although the job was cancelled
    const env::Clock& clock_;
    Heartbeat heartbeat_;
    bool gone_ = false;  // was silent for too long, and has said nothing since
    Welcome welcome_;
    std::vector<Log> logs_;
    std::uint32_t pings_ = 0;
};

/// The next message. While there is none the guest is asked whether it is there; bytes of a frame
/// that is still on its way are a sign of life as well.
Result<Message> ExtensionClient::hear(WaitBudget& budget, const env::Deadline& deadline,
                                      const env::CancelToken& cancel) {
    env::Deadline silence{clock_, heartbeat_.silence_max};
    for (;;) {
        const std::size_t before = budget.bytes_left;
        auto message = channel_.receive(budget, deadline.at_most(heartbeat_.ask_every), cancel);
        if (message) gone_ = false;
        if (message || message.error().code != Errc::timeout || deadline.passed()) return message;
        if (budget.bytes_left != before) silence = {clock_, heartbeat_.silence_max};
        if (silence.passed()) {
            gone_ = true;
            return fail(Errc::timeout, std::string(gone_id),
                        "the extension in the guest does not even answer a ping",
                        "see whether the guest hangs, and its stillpoint-guest runs");
        }
        SP_TRY(channel_.send(serialization::Ping{++pings_}, deadline, cancel));
    }
}

/// What arrives while an answer is awaited: log lines are kept, the guest's error ends the wait,
/// late answers to earlier requests and kinds of later versions mean nothing.
Status ExtensionClient::take_aside(Message& message, std::string_view request) {
    if (auto* log = std::get_if<Log>(&message)) {
        if (logs_.size() < guest_log_lines_max) logs_.push_back(std::move(*log));
        return {};
    }
    const auto* failure = std::get_if<Failure>(&message);
    if (failure == nullptr) return {};
    if (failure->code == "protocol.version") {
        return fail(Errc::unsupported, "guest.version", "guest: " + failure->text,
                    "update the extension in the guest");
    }
    if (failure->code == "protocol.unknown" && request == serialization::Doctor::kind) {
        return fail(Errc::unsupported, "guest.no_doctor",
                    "the extension in the guest cannot examine itself yet",
                    "update the extension in the guest");
    }
    return fail(
        failure->retriable ? Errc::busy : Errc::refused, "guest.error",
        "the guest refused " + std::string(request) + ": " + failure->code + ": " + failure->text);
}

Error ExtensionClient::silent() const {
    if (channel_.saw_other_version()) {
        return Error{Errc::unsupported, "guest.version",
                     "the extension in the guest speaks another frame version",
                     "update the extension in the guest"};
    }
    return Error{Errc::timeout, "guest.silent", "no extension answered on the guest's port",
                 "install and start stillpoint-guest in the VM; another backup may hold the port"};
}

/// Waits for Welcome until the deadline. @return false: not in this time
Result<bool> ExtensionClient::await_welcome(WaitBudget& budget, const env::Deadline& deadline) {
    while (true) {
        auto message = channel_.receive(budget, deadline, cancel_);
        if (!message && message.error().code == Errc::timeout) return false;
        if (!message) return fail(message.error());
        if (auto* welcome = std::get_if<Welcome>(&*message)) {
            welcome_ = std::move(*welcome);
            return true;
        }
        SP_TRY(take_aside(*message, serialization::Hello::kind));
    }
}

Status ExtensionClient::greet(const std::string& vm_uuid, const env::Deadline& deadline) {
    serialization::Hello hello;
    hello.vm_uuid = vm_uuid;
    hello.features = {std::string(completes_feature)};
    WaitBudget budget;
    while (!deadline.passed()) {
        // Bytes sent before the guest opened its port can get lost, so the Hello is repeated.
        const env::Deadline slice{clock_, std::min(hello_interval, deadline.left())};
        channel_.give_up_if_stuck();
        if (const auto sent = channel_.send(hello, slice, cancel_); !sent) {
            if (sent.error().code != Errc::timeout) return fail(sent.error());
            return fail(silent());  // part of a Hello is on its way: nothing more can be said
        }
        SP_ASSIGN(const bool welcomed, await_welcome(budget, slice));
        if (welcomed) {
            const serialization::VersionRange ours;
            if (serialization::choose_version(ours, {welcome_.version, welcome_.version}))
                return {};
            return fail(Errc::unsupported, "guest.version",
                        "the extension chose protocol version " + std::to_string(welcome_.version),
                        "update the extension in the guest");
        }
    }
    return fail(silent());
}

void ExtensionClient::cancel(const std::string& reason) noexcept {
    try {
        const env::Deadline deadline{clock_, cancel_budget};
        // Nothing more can be done about a failure: the guest's own deadline remains (I4).
        (void)ask<serialization::Finished>(serialization::Cancel{reason}, deadline, never_);
    } catch (...) {  // out of memory: as above
    }
}

Result<env::Nanoseconds> ExtensionClient::ping(const env::Deadline& deadline) {
    const env::Nanoseconds start = clock_.monotonic();
    SP_ASSIGN([[maybe_unused]] const auto pong,
              ask<serialization::Pong>(serialization::Ping{++pings_}, deadline, cancel_));
    return clock_.monotonic() - start;
}

}  // namespace

Result<std::unique_ptr<GuestClient>> connect_guest(
    const env::Path& socket, const std::string& vm_uuid, const env::Deadline& deadline,
    const env::CancelToken& cancel, const env::Clock& clock, const Heartbeat& heartbeat) {
    SP_ASSIGN(auto connected, env::UnixSocket::connect(socket, deadline));
    auto client = std::make_unique<ExtensionClient>(Channel{std::move(connected), random_session()},
                                                    cancel, clock, heartbeat);
    SP_TRY(client->greet(vm_uuid, deadline));
    return std::unique_ptr<GuestClient>{std::move(client)};
}

}  // namespace stillpoint::guest
