#pragma once
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "freeze/freeze_engine.hpp"
#include "serialization/frame.hpp"
#include "serialization/messages.hpp"
#include "service/guest_config.hpp"

/// The host's end of a conversation with a real Agent that runs in a child process over a unix
/// socket, as QEMU's chardev would carry it.
namespace stillpoint::test {

namespace fs = std::filesystem;
using linux_guest::FreezeBudgets;
using linux_guest::FreezeReport;
using linux_guest::ThawReport;
using serialization::Message;

/// Says that it froze two filesystems; nothing is touched.
class FakeEngine final : public linux_guest::FreezeEngine {
public:
    enum class Mood { good, foreign, hanging, breaking };
    explicit FakeEngine(Mood mood, fs::path record) : mood_(mood), record_(std::move(record)) {}
    void use(const linux_guest::FreezeRules& rules) override;
    Result<std::vector<serialization::Volume>> volumes() override;
    Status write_out(os::Nanoseconds until, os::Waiter& waiter) override;
    Result<FreezeReport> freeze(const FreezeBudgets& budgets, os::Waiter& waiter) override;
    serialization::Diagnosis examine(bool dry_run, os::Waiter& waiter) override;
    void watch(std::vector<pollfd>&) const override {}
    Status tend() override;
    ThawReport thaw(os::Waiter& waiter) override;

private:
    void note(const std::string& what) const;
    Mood mood_;
    fs::path record_;
    bool frozen_ = false;
    std::optional<ThawReport> last_;
};

/// Listens; the agent connects, as often as it likes.
class AgentHost {
public:
    AgentHost();
    AgentHost(const AgentHost&) = delete;
    AgentHost& operator=(const AgentHost&) = delete;
    ~AgentHost();

    /// Starts the agent and accepts its connection.
    void start(const linux_guest::GuestConfig& config, FakeEngine::Mood mood);
    /// kill -9, as an administrator's hand slips.
    void kill_agent();
    void accept();
    void hang_up() { peer_.reset(); }
    void send_raw(ByteView bytes) const;
    void send(const Message& message);
    /// The next message of this session within 20 s; fails the test when none comes.
    Message receive();
    template <class T>
    T expect() {
        const Message message = receive();
        if (const T* wanted = std::get_if<T>(&message)) return *wanted;
        wrong(message, T::kind);
        return {};
    }
    /// Sends and expects the answer.
    template <class T>
    T ask(const Message& message) {
        send(message);
        return expect<T>();
    }
    /// A new session: another id, sequence numbers from 1. @return the Welcome
    serialization::Welcome greet();
    /// What the fake engine and the hooks wrote, a word each.
    [[nodiscard]] std::string record() const;
    /// Waits until the record is that.
    bool record_becomes(const std::string& wanted) const;
    void stop_agent() const;
    /// Writes a guest.xml and sends SIGHUP.
    void reload(const std::string& xml) const;
    /// @return the agent's exit code once it has ended; -1: it has not within 20 s
    int agent_exit();
    [[nodiscard]] const fs::path& folder() const { return folder_; }
    /// A hook that notes a word and then runs `body`.
    linux_guest::HookCommand hook(const std::string& word, const std::string& body = "");

    serialization::SessionId session = 1000;
    std::uint32_t sequence = 0;

private:
    static void wrong(const Message& message, std::string_view wanted);
    fs::path folder_;
    os::UniqueFd listener_;
    os::UniqueFd peer_;
    pid_t agent_ = -1;
    int hooks_ = 0;
    serialization::FrameReader reader_;
};

}  // namespace stillpoint::test
