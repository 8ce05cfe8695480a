#pragma once
#include <optional>

#include "base/bytes.hpp"
#include "env/clock.hpp"
#include "env/files.hpp"
#include "env/poll.hpp"

/// The server's end of a unix socket, for fakes: QEMU's habits with one client at a time, others
/// queue.
namespace stillpoint::fakes {

/// One accepted client. Every wait also ends when the doorbell rings.
class Peer {
public:
    enum class Event { bytes, closed, stopped, deadline };
    Peer(env::UniqueFd fd, const env::Doorbell& stop) : fd_(std::move(fd)), stop_(&stop) {}
    /// Waits for bytes; on Event::bytes `into` holds them.
    Event read(Bytes& into, const env::Deadline& deadline);
    /// @return whether all bytes went out before the client left or the doorbell rang
    bool write(ByteView bytes);

private:
    Event wait_for(short events, const env::Deadline& deadline);
    env::UniqueFd fd_;
    const env::Doorbell* stop_;
};

class Listener {
public:
    /// Any failure is a broken test: it aborts.
    explicit Listener(const env::Path& path);
    /// @return the next client; nullopt: the doorbell rang
    std::optional<Peer> accept(const env::Doorbell& stop);

private:
    env::UniqueFd fd_;
};

}  // namespace stillpoint::fakes
