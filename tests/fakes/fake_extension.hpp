#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "env/clock.hpp"
#include "env/files.hpp"
#include "env/poll.hpp"
#include "fakes/listener.hpp"
#include "quiesce/session.hpp"
#include "serialization/frame.hpp"
#include "serialization/messages.hpp"

/// An extension without a guest, on the port's unix socket: honest by default, as hostile as its
/// script says. It goes through the very table of moves that the real one uses.
namespace stillpoint::fakes {

enum class Misdeed {
    none,
    silence,  // the request is read, and its answer never comes; others are answered
    death,    // … and nothing is ever answered again
    close,    // the connection is closed in place of the answer
    endless,  // log lines without end in place of the answer
    trickle,  // … one every few milliseconds
};

struct ExtensionScript {
    std::string name = "honest";
    Bytes greeting;                 // raw bytes each connection begins with
    std::size_t chatter_bytes = 0;  // log lines before every answer
    Misdeed misdeed = Misdeed::none;
    std::string_view at = "";                            // the kind of request the misdeed answers
    std::function<void(serialization::Message&)> alter;  // each answer before it is sent
    std::function<void(serialization::Frame&, std::string_view kind)> alter_frame;
    bool hooks = true;  // one pre and one post hook, "db"
    bool freeze_needed = true;
    std::vector<std::string> filesystems{"/", "/data"};
};

/// What it saw and did.
struct ExtensionRecord {
    std::vector<std::string> received;  // kinds, in order
    quiesce::State state = quiesce::State::idle;
    int freezes = 0;
    int thaws = 0;
    int posts = 0;
    bool last_post_success = false;
};

/// @threads any; the script's functions are called on the fake's own thread
class FakeExtension {
public:
    /// Listens at once. @param clock shared with the code under test, so that durations agree
    FakeExtension(const env::Path& socket, ExtensionScript script, const env::Clock& clock);
    FakeExtension(const FakeExtension&) = delete;
    FakeExtension& operator=(const FakeExtension&) = delete;
    ~FakeExtension();
    [[nodiscard]] ExtensionRecord record() const;
    /// Waits (real time) until nothing is frozen or owed. @return false: not within ten seconds
    [[nodiscard]] bool settles() const;

private:
    void run();
    void serve(Peer& peer);
    bool on_bytes(Peer& peer, serialization::FrameReader& reader, ByteView bytes);
    bool on_frame(Peer& peer, const serialization::Frame& frame);
    bool on_request(Peer& peer);
    bool misbehave(Peer& peer);
    bool dispatch(Peer* peer, quiesce::Event event);
    bool carry_out(Peer* peer, quiesce::Action action);
    bool answer(Peer* peer, serialization::Message message);
    bool send(Peer& peer, const serialization::Message& message);
    [[nodiscard]] serialization::Welcome welcome() const;
    [[nodiscard]] serialization::Prepared prepared() const;
    [[nodiscard]] serialization::Frozen frozen() const;
    [[nodiscard]] serialization::Finished finished() const;
    [[nodiscard]] std::vector<serialization::Evidence> volumes(std::int64_t duration_ns) const;
    void begin_freeze();
    void end_freeze();
    [[nodiscard]] std::int64_t now_ns() const;
    template <class F>
    void note(F&& change);

    ExtensionScript script_;
    const env::Clock& clock_;
    Listener listener_;
    env::Doorbell stop_;
    // Below: the fake's own thread alone.
    quiesce::State state_ = quiesce::State::idle;
    serialization::SessionId session_ = 0;
    std::uint32_t sequence_ = 0;
    serialization::Message request_;
    bool dead_ = false;
    serialization::Prepare prepare_;
    serialization::Thawed thawed_;
    std::optional<env::Deadline> hold_;
    // Below: both threads.
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    ExtensionRecord record_;
    std::thread thread_;
};

/// A script, and what a host must make of it when hooks and a freeze were wanted.
struct HostileCase {
    ExtensionScript script;
    serialization::Level level;  // of the point
    std::string reason;          // a warning's code; empty: none
    bool times_out = false;      // something is waited for in vain: give it small budgets
};

/// Every way to misbehave that the protocol's document names; all end within about a second when
/// the host's budgets are 200 ms for an answer and 1.2 s for the greeting.
[[nodiscard]] std::vector<HostileCase> hostile_cases();

}  // namespace stillpoint::fakes
