#pragma once
#include <poll.h>

#include <functional>
#include <optional>
#include <string>

#include "os/clock.hpp"
#include "os/fd.hpp"
#include "serialization/frame.hpp"

namespace stillpoint::linux_guest {

/// The byte stream to the host, as frames. It opens itself and opens itself again; while no host
/// is connected the port reports a hang-up without end, which is looked at only now and then.
/// @threads one at a time
class HostLine {
public:
    /// @return the path of a character device or unix socket
    using Find = std::function<Result<std::string>()>;
    explicit HostLine(Find find) : find_(std::move(find)) {}

    /// What to poll on now; -1: nothing, until wake_at. Opens the port when it is time to.
    [[nodiscard]] int poll_fd();
    /// Call serve by then even without an event.
    [[nodiscard]] os::Nanoseconds wake_at() const;
    enum class Served { nothing, lost };
    /// Takes what came. @param revents of poll_fd; 0: none
    /// @return lost: the host that had sent something is gone
    Served serve(short revents);
    /// @return the next whole frame that came
    [[nodiscard]] std::optional<serialization::Frame> next() { return reader_.next(); }
    /// Writes one frame; waits at most write_max for the host to take it.
    /// @errors timeout, io, id "channel.write": it is lost, and the line is as after a hang-up
    Status send(const serialization::Frame& frame);
    /// Why the port could not be opened; empty: it is open, or was not tried yet.
    [[nodiscard]] const std::string& problem() const { return problem_; }

private:
    enum class Got { bytes, nothing, hang_up };
    Status open();
    Got read_some();
    Served hang_up();
    void note_partial();

    Find find_;
    os::UniqueFd port_;
    bool socket_ = false;  // opened anew after a hang-up; a device stays open
    bool heard_ = false;   // something came since the last hang-up
    os::Nanoseconds pause_until_{};
    os::Nanoseconds partial_since_{};  // a frame's beginning is waited on since; 0: none
    std::uint64_t partial_at_ = 0;     // … at that position of the stream
    std::string problem_;
    serialization::FrameReader reader_;
};

}  // namespace stillpoint::linux_guest
