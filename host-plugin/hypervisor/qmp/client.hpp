#pragma once
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "env/clock.hpp"
#include "env/unix_socket.hpp"
#include "hypervisor/qmp/message.hpp"

namespace stillpoint::hypervisor::qmp {

// A run waits for a handful of events; a talkative guest must not grow our memory.
inline constexpr std::size_t events_max = 1024;

/// QEMU said no, as opposed to a connection that failed.
[[nodiscard]] bool is_refusal(const Error& error);

struct Command {
    std::string name;
    serialization::Map arguments;
};

/// One QMP connection: commands with ids, events kept aside until asked for.
/// QEMU serves one client per monitor socket; the others wait without a greeting.
/// @threads one at a time
class QmpClient {
public:
    /// Connects, reads the greeting and negotiates capabilities (none: in-band commands only).
    /// @errors not_found, denied, io: no monitor there · busy, id "qmp.busy": somebody else holds
    ///         the monitor · corrupt, id "qmp.malformed": not QMP
    static Result<QmpClient> connect(const env::Path& socket, const env::Deadline& deadline);
    /// As connect, over a socket that is connected already. @param name for error texts
    static Result<QmpClient> greet(env::UnixSocket socket, const std::string& name,
                                   const env::Deadline& deadline);

    /// @return the command's "return" value
    /// @errors QEMU's refusal, text = command and QEMU's description: io, id "qmp.refused" ·
    ///         unsupported, id "qmp.no_such_command" · not_found, id "qmp.no_such_device" ·
    ///         timeout: the reply, should it still come, is dropped · io, corrupt: connection lost
    Result<serialization::Value> execute(const std::string& command, serialization::Map arguments,
                                         const env::Deadline& deadline);
    /// As execute, for commands whose return value says nothing.
    Status run(const std::string& command, serialization::Map arguments,
               const env::Deadline& deadline);

    /// Hands over all commands in one piece and then reads all replies: between the commands nobody
    /// waits for us to be scheduled. Later ones run even when an earlier one is refused.
    /// @errors the first failure; a refusal only after every reply came
    Status run_all(const std::vector<Command>& commands, const env::Deadline& deadline);

    using Match = std::function<bool(const Event&)>;
    /// Takes the oldest kept event that matches, or waits for one. Others stay.
    /// @errors timeout, io, corrupt
    Result<Event> wait_event(const Match& match, const env::Deadline& deadline);
    /// Takes the oldest kept event that matches, without touching the socket.
    std::optional<Event> take_event(const Match& match);
    /// Forgets kept events. Only events that arrive later can match.
    void forget_events() { events_.clear(); }

    [[nodiscard]] Version version() const { return version_; }
    [[nodiscard]] int fd() const { return socket_.fd(); }
    /// The connection is lost: every further command fails.
    [[nodiscard]] bool broken() const { return broken_.has_value(); }
    [[nodiscard]] const std::string& name() const { return name_; }

private:
    QmpClient(env::UnixSocket socket, std::string name)
        : socket_(std::move(socket)), name_(std::move(name)) {}
    Result<Greeting> await_greeting(const env::Deadline& deadline);
    Status skip_to_greeting(const env::Deadline& deadline);
    [[nodiscard]] tl::unexpected<Error> no_greeting() const;
    Result<Message> receive(const env::Deadline& deadline);
    std::string encode(const std::string& command, serialization::Map arguments);
    Result<serialization::Value> reply_to(std::int64_t id, const std::string& command,
                                          const env::Deadline& deadline);
    Status send(const std::string& text, const env::Deadline& deadline);
    void keep(Event event);

    env::UnixSocket socket_;
    std::string name_;
    env::CancelToken never_;
    MessageSplitter splitter_;
    std::deque<Event> events_;  // the oldest are dropped beyond events_max
    Version version_;
    std::int64_t last_id_ = 0;
    std::optional<Error> broken_;  // the stream's position is unknown: no further use
};

}  // namespace stillpoint::hypervisor::qmp
