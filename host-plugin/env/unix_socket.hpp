#pragma once
#include "base/bytes.hpp"
#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "env/fd.hpp"
#include "env/files.hpp"

namespace stillpoint::env {

/// A connected stream socket whose every wait has a deadline and can be cancelled.
/// @threads one at a time
class UnixSocket {
public:
    /// @errors not_found: no such socket · denied · io (refused: nobody listens) · timeout ·
    /// cancelled
    static Result<UnixSocket> connect(const Path& path, const Deadline& deadline,
                                      const CancelToken& cancel = {});
    /// Takes a connected descriptor; it becomes non-blocking. @param name for error texts
    static Result<UnixSocket> adopt(UniqueFd fd, std::string name);
    /// @return 1..into.size() bytes read
    /// @errors io, id "socket.closed": the peer ended · timeout · cancelled
    Result<std::size_t> read_some(std::span<std::byte> into, const Deadline& deadline,
                                  const CancelToken& cancel);
    Status write_all(ByteView bytes, const Deadline& deadline, const CancelToken& cancel);
    [[nodiscard]] int fd() const { return fd_.get(); }
    /// Whether the peer has ended and everything it wrote was read. Never waits.
    [[nodiscard]] bool closed() const;
    /// Gives the descriptor (non-blocking) away; this object is empty afterwards.
    [[nodiscard]] UniqueFd release() { return std::move(fd_); }

private:
    explicit UnixSocket(UniqueFd fd, std::string name)
        : fd_(std::move(fd)), name_(std::move(name)) {}
    Status wait_for(short events, const Deadline& deadline, const CancelToken& cancel);
    UniqueFd fd_;
    std::string name_;
};

/// Two descriptors connected to each other, blocking, closed on exec.
struct SocketPair {
    UniqueFd ours;
    UniqueFd theirs;
};
[[nodiscard]] Result<SocketPair> make_socket_pair();

}  // namespace stillpoint::env
