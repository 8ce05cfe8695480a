#pragma once
#include <deque>
#include <functional>
#include <optional>

#include "channel/host_line.hpp"
#include "freeze/freeze_engine.hpp"
#include "hooks/hook_executor.hpp"
#include "os/waiter.hpp"
#include "quiesce/session.hpp"
#include "serialization/messages.hpp"
#include "service/guest_config.hpp"
#include "service/guest_log.hpp"

namespace stillpoint::linux_guest {

/// The extension: takes the host's requests from the line, drives one quiesce session by its table
/// of moves, and carries out its actions. Long actions wait through `wait`, which goes on serving
/// the line: a ping is answered whatever is under way.
/// @threads one; no other thread in the process
class Agent final : public os::Waiter {
public:
    struct Parts {
        HostLine& line;
        FreezeEngine& freezer;
        HookExecutor& hooks;
        HookJournalStore& journal;
        GuestLog& log;
        int stop_fd;  // readable: end the session cleanly, then return; -1: never
        TrustRules trust = TrustRules::of_process();  // of the folder of hooks
        int reload_fd = -1;  // a signalfd; readable: read the configuration anew
        std::function<Result<GuestConfig>()> reload;
    };
    Agent(const GuestConfig& config, const Parts& parts);

    /// Serves until stop_fd is readable and nothing is owed any more.
    void run();
    /// As os::Waiter; cancelled when the session wants another action than the one under way.
    os::WaitEnd wait(std::span<pollfd> watched, os::Nanoseconds until) override;

private:
    void feed(quiesce::Event event);
    void carry_out(quiesce::Action action);
    void pump(std::span<pollfd> watched, os::Nanoseconds until);
    bool pump_once(std::span<pollfd> watched, os::Nanoseconds until);
    void idle_round();
    void take_stop();
    void take_reload();
    void run_reload();
    [[nodiscard]] os::Nanoseconds timer() const;
    [[nodiscard]] bool timer_passed() const;

    void serve_line(short revents);
    void take(const serialization::Frame& frame);
    void take_message(const serialization::Message& message);
    void take_hello(serialization::SessionId session, const serialization::Hello& hello);
    void adopt_hello();
    void take_freeze(const serialization::Freeze& freeze);
    void take_thaw(const serialization::Thaw& thaw);
    void take_finish(const serialization::Finish& finish);
    void take_doctor(const serialization::Doctor& doctor);
    void run_doctor();
    void send(const serialization::Message& message);
    void send_error(const Error& error);
    serialization::Welcome make_welcome();

    void run_pre();
    void run_post(bool success);
    void start_freeze();
    void start_thaw();
    [[nodiscard]] std::vector<Hook> configured_hooks();
    void keep_thawed(const ThawReport& report, bool asked);

    /// Waits likewise, but is never cancelled: what ends a hook is carried through.
    class SteadyWaiter final : public os::Waiter {
    public:
        explicit SteadyWaiter(Agent& agent) : agent_(agent) {}
        os::WaitEnd wait(std::span<pollfd> watched, os::Nanoseconds until) override;

    private:
        Agent& agent_;
    };

    GuestConfig config_;
    Parts parts_;
    HookEngine hooks_;
    SteadyWaiter steady_{*this};
    WaitingHands hands_{parts_.hooks, *this};
    WaitingHands steady_hands_{parts_.hooks, steady_};
    quiesce::State state_ = quiesce::State::idle;
    os::Nanoseconds entered_{};            // state_ since
    std::deque<quiesce::Action> actions_;  // decided, not begun
    bool stopping_ = false;
    bool reload_wanted_ = false;
    std::string logged_problem_;  // of the line; said once

    serialization::SessionId session_ = 0;  // 0: none yet
    std::uint32_t sent_ = 0;                // sequence numbers
    std::uint32_t received_ = 0;
    struct NewSession {
        serialization::SessionId id = 0;
        serialization::Hello hello;
    };
    std::optional<NewSession> new_session_;  // answered once the old session has ended
    serialization::Welcome welcome_;
    std::optional<serialization::Doctor> doctor_;  // asked, not begun
    bool examining_ = false;

    serialization::Prepare prepare_;
    serialization::Freeze freeze_;
    serialization::Prepared prepared_;
    serialization::Frozen frozen_;
    serialization::Thawed thawed_;
    serialization::Finished finished_;
    os::Nanoseconds hold_until_{};  // boottime; 0: nothing is frozen
    std::optional<Error> freeze_error_;
    bool finish_success_ = false;
};

}  // namespace stillpoint::linux_guest
