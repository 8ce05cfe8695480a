#pragma once
#include <cstdint>
#include <optional>

#include "env/unix_socket.hpp"
#include "serialization/frame.hpp"
#include "serialization/messages.hpp"

namespace stillpoint::guest {

// All bytes that one wait may take, answer included. A guest that talks without answering is cut
// off here; one that talks slowly is cut off by the deadline. The largest answer is one frame.
inline constexpr std::size_t wait_bytes_max = 8u << 20;

/// How much one wait may still read.
struct WaitBudget {
    std::size_t bytes_left = wait_bytes_max;
};

/// Messages of one session over the port's socket. Frames of other sessions and repeated ones are
/// dropped unread.
/// @threads one at a time
class Channel {
public:
    Channel(env::UnixSocket socket, serialization::SessionId session)
        : socket_(std::move(socket)), session_(session) {}

    Status send(const serialization::Message& message, const env::Deadline& deadline,
                const env::CancelToken& cancel);
    /// @return the next message of this session, its texts cleaned
    /// @errors timeout · cancelled · io (port closed) · corrupt, id "guest.protocol"
    Result<serialization::Message> receive(WaitBudget& budget, const env::Deadline& deadline,
                                           const env::CancelToken& cancel);
    /// Call once per interval while nothing readable came: stops waiting for the rest of a frame
    /// that was waited for at the last call already.
    void give_up_if_stuck();
    [[nodiscard]] bool saw_other_version() const { return reader_.other_versions() > 0; }

private:
    [[nodiscard]] Result<serialization::Message> open(const serialization::Frame& frame) const;
    Status read_more(WaitBudget& budget, const env::Deadline& deadline,
                     const env::CancelToken& cancel);

    env::UnixSocket socket_;
    serialization::FrameReader reader_;
    serialization::SessionId session_;
    std::uint32_t sent_ = 0;                  // sequence of the last frame sent
    std::uint32_t last_received_ = 0;         // … and of the last one taken
    std::optional<std::uint64_t> waited_at_;  // the reader's position at the last give_up_if_stuck
};

}  // namespace stillpoint::guest
