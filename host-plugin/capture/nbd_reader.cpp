#include "capture/nbd_reader.hpp"

#include <algorithm>
#include <cerrno>

#include "capture/delivery.hpp"
#include "capture/throttle.hpp"

namespace stillpoint::capture {
namespace {

using env::Nanoseconds;

// The longest sleep without any reason: everything that matters wakes the poll.
constexpr Nanoseconds idle_max = std::chrono::hours{1};

// Cuts extents into requests, ascending.
class Cursor {
public:
    Cursor(const extents::ExtentSet& what, std::uint32_t step) : what_(what), step_(step) {}
    [[nodiscard]] bool at_end() const { return index_ == what_.size(); }
    [[nodiscard]] Extent peek() const {
        const Extent& extent = what_[index_];
        return {ByteOffset{extent.at.raw() + done_},
                ByteCount{std::min(step_, extent.length.raw() - done_)}};
    }
    void advance() {
        done_ += peek().length.raw();
        if (done_ < what_[index_].length.raw()) return;
        ++index_;
        done_ = 0;
    }

private:
    const extents::ExtentSet& what_;
    std::uint64_t step_;
    std::size_t index_ = 0;
    std::uint64_t done_ = 0;
};

// One connection's share of the work.
struct Lane {
    std::size_t in_flight = 0;
    Nanoseconds progressed{};  // when it last answered, or was given work while it had none
};

class Reader {
public:
    Reader(std::vector<NbdConnection>& connections, const ReadTask& task, const Patience& patience,
           env::Doorbell bell);
    Status run();

private:
    Status transfer();
    [[nodiscard]] std::size_t in_flight_max_now() const;
    Status issue();
    Status send(Buffer* buffer, const Extent& piece);
    Status wait();
    Status collect();
    [[nodiscard]] Nanoseconds longest_wait() const;
    [[nodiscard]] Status check_stalls() const;

    std::vector<NbdConnection>& connections_;
    const Patience& patience_;
    Cursor cursor_;
    std::uint32_t request_bytes_;
    std::size_t in_flight_max_;
    std::size_t in_flight_ = 0;
    Throttle* throttle_;  // null: no limit
    Throttle::Seat seat_;
    Nanoseconds throttled_{};  // until the bucket allows the next request; 0: it does
    std::vector<Lane> lanes_;
    std::vector<pollfd> polls_;
    std::vector<Buffer*> completed_;
    BufferPool pool_;
    env::Doorbell bell_;
    Delivery delivery_;  // last: its threads end before what they use
};

Reader::Reader(std::vector<NbdConnection>& connections, const ReadTask& task,
               const Patience& patience, env::Doorbell bell)
    : connections_(connections),
      patience_(patience),
      cursor_(task.what, task.options.request_bytes),
      request_bytes_(task.options.request_bytes),
      in_flight_max_(std::max(task.options.in_flight_max, 1u)),
      throttle_(task.options.throttle.get()),
      seat_(throttle_),
      lanes_(connections.size()),
      pool_(in_flight_max_ + std::size_t{2} * task.workers),
      bell_(std::move(bell)),
      delivery_(task.workers, task.sink, {pool_, bell_}) {
    completed_.reserve(pool_.count());  // the callback must not allocate
}

// libnbd (1.14) takes a reply that fills only a part of the buffer for success: what was in the
// buffer before would be backed up. So the chunks are counted; they may come in any order.
int on_chunk(void* user, const void* /*bytes*/, std::size_t count, std::uint64_t /*offset*/,
             unsigned status, int* /*error*/) noexcept {
    if (status != LIBNBD_READ_ERROR) static_cast<Buffer*>(user)->filled += count;
    return 0;
}

int on_read(void* user, int* error) noexcept {
    auto* buffer = static_cast<Buffer*>(user);
    buffer->error = *error != 0 || buffer->filled == buffer->length ? *error : EPROTO;
    buffer->completed->push_back(buffer);
    return 1;  // libnbd retires the command
}

Status Reader::send(Buffer* buffer, const Extent& piece) {
    const auto by_load = [](const Lane& a, const Lane& b) { return a.in_flight < b.in_flight; };
    const auto lane = std::min_element(lanes_.begin(), lanes_.end(), by_load);
    buffer->connection = static_cast<std::size_t>(lane - lanes_.begin());
    buffer->at = piece.at;
    buffer->length = piece.length.raw();
    buffer->filled = 0;
    buffer->completed = &completed_;
    if (buffer->bytes.size() < request_bytes_) buffer->bytes.resize(request_bytes_);
    if (lane->in_flight == 0) lane->progressed = patience_.clock.monotonic();
    const NbdConnection& connection = connections_[buffer->connection];
    if (nbd_aio_pread_structured(connection.handle(), buffer->bytes.data(), buffer->length,
                                 piece.at.raw(), nbd_chunk_callback{on_chunk, buffer, nullptr},
                                 nbd_completion_callback{on_read, buffer, nullptr}, 0) < 0) {
        const std::string why = nbd_get_error();
        return fail(Errc::io, "capture.disconnected", connection.name() + ": " + why);
    }
    ++lane->in_flight;
    ++in_flight_;
    return {};
}

std::size_t Reader::in_flight_max_now() const {
    if (throttle_ == nullptr) return in_flight_max_;
    return std::min<std::size_t>(in_flight_max_, throttle_->share(request_bytes_));
}

Status Reader::issue() {
    throttled_ = {};
    const std::size_t in_flight_max = in_flight_max_now();
    while (!cursor_.at_end() && in_flight_ < in_flight_max) {
        Buffer* buffer = pool_.take();
        if (buffer == nullptr) break;  // the sink is slower than the server: its bell wakes us
        const Extent piece = cursor_.peek();
        if (throttle_ != nullptr) throttled_ = throttle_->take(piece.length.raw());
        if (throttled_ > Nanoseconds::zero()) {
            pool_.give_back(buffer);
            break;
        }
        cursor_.advance();
        SP_TRY(send(buffer, piece));
    }
    return {};
}

Nanoseconds Reader::longest_wait() const {
    Nanoseconds longest = throttled_ > Nanoseconds::zero() ? throttled_ : idle_max;
    const Nanoseconds now = patience_.clock.monotonic();
    for (const Lane& lane : lanes_) {
        if (lane.in_flight == 0) continue;
        longest = std::min(longest, lane.progressed + patience_.reply_timeout - now);
    }
    return longest;
}

Status Reader::check_stalls() const {
    const Nanoseconds now = patience_.clock.monotonic();
    for (std::size_t n = 0; n < lanes_.size(); ++n) {
        if (lanes_[n].in_flight == 0) continue;
        if (now - lanes_[n].progressed < patience_.reply_timeout) continue;
        return fail(Errc::timeout, "capture.stalled",
                    connections_[n].name() + ": no answer for " +
                        std::to_string(env::to_ms(now - lanes_[n].progressed) / 1e3) + " s",
                    "the disk's storage or the hypervisor hangs");
    }
    return {};
}

Status Reader::wait() {
    polls_.clear();
    polls_.push_back({patience_.cancel.poll_fd(), POLLIN, 0});
    polls_.push_back({bell_.poll_fd(), POLLIN, 0});
    for (const NbdConnection& connection : connections_) polls_.push_back(connection.poll_entry());
    SP_TRY(env::wait_any(polls_, env::Deadline{patience_.clock, longest_wait()}));
    if (polls_[1].revents != 0) bell_.clear();
    for (std::size_t n = 0; n < connections_.size(); ++n) {
        if (polls_[n + 2].revents == 0) continue;
        Status status = connections_[n].progress(polls_[n + 2].revents);
        // What arrived before a connection was lost may name the reason better.
        SP_TRY(collect());
        SP_TRY(status);
    }
    return {};
}

Status Reader::collect() {
    std::optional<Error> failure;
    for (Buffer* buffer : completed_) {
        Lane& lane = lanes_[buffer->connection];
        --lane.in_flight;
        --in_flight_;
        lane.progressed = patience_.clock.monotonic();
        const NbdConnection& connection = connections_[buffer->connection];
        // libnbd ends what was in flight on a lost connection with ENOTCONN: not the server's word.
        const bool lost = buffer->error == ENOTCONN && !connection.alive();
        if (buffer->error == 0) {
            delivery_.deliver(buffer);
        } else if (!lost && !failure) {
            failure =
                reply_error(connection.name() + ": read of " + std::to_string(buffer->length) +
                                " bytes at " + std::to_string(buffer->at.raw()),
                            buffer->error);
        }
    }
    completed_.clear();
    if (failure) return fail(*failure);
    return {};
}

Status Reader::transfer() {
    while (!delivery_.failed()) {
        SP_TRY(patience_.cancel.check());
        SP_TRY(issue());
        SP_TRY(collect());
        if (in_flight_ == 0 && cursor_.at_end()) break;
        SP_TRY(wait());
        SP_TRY(check_stalls());
    }
    return {};
}

Status Reader::run() {
    const Status status = transfer();
    if (!status || delivery_.failed()) {
        // libnbd must forget our buffers before they go.
        for (NbdConnection& connection : connections_) connection.close();
    }
    const Status sunk = delivery_.end(status ? Delivery::Rest::deliver : Delivery::Rest::drop);
    return status ? sunk : status;
}

}  // namespace

Status read_extents(std::vector<NbdConnection>& connections, const ReadTask& task,
                    const Patience& patience) {
    SP_ASSIGN(env::Doorbell bell, env::Doorbell::create());
    Reader reader{connections, task, patience, std::move(bell)};
    Status status = reader.run();
    if (!status) {
        for (NbdConnection& connection : connections) connection.close();
    }
    return status;
}

}  // namespace stillpoint::capture
