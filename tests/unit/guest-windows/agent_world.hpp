#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "scripted_hooks.hpp"
#include "scripted_vss.hpp"
#include "service/agent.hpp"

/// The host's end of a conversation with a real Agent and a real worker; VSS is scripted.
namespace stillpoint::test {

/// What the agent wrote, as messages. @threads any
class Captured final : public windows_guest::Line {
public:
    std::uint32_t send(ByteView frame) noexcept override;
    [[nodiscard]] std::string text_of(std::uint32_t code) const override {
        return "code " + std::to_string(code);
    }
    serialization::Message next();
    /// Memory that the sending thread took between the start of the hold and the write of Frozen.
    [[nodiscard]] long taken_in_window() const { return taken_in_window_; }

private:
    std::mutex lock_;
    std::condition_variable changed_;
    std::deque<Bytes> frames_;
    long taken_in_window_ = -1;
};

class AgentWorld {
public:
    explicit AgentWorld(windows_guest::AgentRules rules = {}) : rules_(std::move(rules)) {}
    AgentWorld(const AgentWorld&) = delete;
    AgentWorld& operator=(const AgentWorld&) = delete;
    ~AgentWorld();

    void start();
    void send(const serialization::Message& message);
    void hello(const std::vector<std::string>& features = {});
    template <class Answer>
    Answer expect() {
        const serialization::Message message = line.next();
        const auto* answer = std::get_if<Answer>(&message);
        if (answer == nullptr) wrong(message, Answer::kind);
        return *answer;
    }
    template <class Answer>
    Answer ask(const serialization::Message& message) {
        send(message);
        return expect<Answer>();
    }
    /// Prepare and Freeze. @return Frozen
    serialization::Frozen freeze(std::int64_t hold_budget_ns = 5'000'000'000);
    void lose_host() { inbox.post(windows_guest::HostLost{}); }
    void await_state(const std::string& state);

    ScriptedVss vss;
    ScriptedHooks hooks;
    Captured line;
    windows_guest::os::Event wake;
    windows_guest::Inbox inbox{wake};
    windows_guest::HoldGate gate{wake};
    std::vector<windows_guest::GuestVolume> volumes{{"C:\\", "\\\\?\\Volume{1}\\", "NTFS"}};
    std::function<Result<windows_guest::GuestConfig>()> configure = [] {
        return windows_guest::GuestConfig{};
    };
    std::vector<std::string> log;
    std::vector<std::string> flushed;
    static constexpr const char* job = "0192f0c4a7b87d1e8f3a5b6c7d8e9f00";
    static constexpr const char* lease = "00112233445566778899aabbccddeeff";

private:
    [[noreturn]] static void wrong(const serialization::Message& message, std::string_view wanted);
    windows_guest::AgentRules rules_;
    windows_guest::GuestLog log_{
        [this](windows_guest::Severity, const std::string& text) { log.push_back(text); }};
    std::unique_ptr<windows_guest::VssWorker> worker_;
    std::unique_ptr<windows_guest::HookWorker> hook_worker_;
    std::unique_ptr<windows_guest::Agent> agent_;
    std::thread thread_;
    serialization::SessionId session_ = 0;
    std::uint32_t sequence_ = 0;
};

}  // namespace stillpoint::test
