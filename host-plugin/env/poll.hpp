#pragma once
#include <poll.h>

#include <span>

#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "env/fd.hpp"

namespace stillpoint::env {

/// poll(2) until something is ready or the deadline has passed; signals do not end it.
/// @return true: at least one entry has revents; false: the deadline passed (all revents are 0)
[[nodiscard]] Result<bool> wait_any(std::span<pollfd> polls, const Deadline& deadline);

/// Lets real time pass: between attempts, never instead of waiting for an event.
/// @errors cancelled: as soon as the wish is made
[[nodiscard]] Status pause(Nanoseconds how_long, const CancelToken& cancel);

/// Wakes a thread out of wait_any: any number of rings before it looks are one.
/// @threads ring() any, clear() the one that waits
class Doorbell {
public:
    [[nodiscard]] static Result<Doorbell> create();
    void ring() const noexcept;
    void clear() const noexcept;
    /// Readable when rung.
    [[nodiscard]] int poll_fd() const { return event_.get(); }

private:
    explicit Doorbell(UniqueFd event) : event_(std::move(event)) {}
    UniqueFd event_;
};

}  // namespace stillpoint::env
