#include "capture/nbd_status.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <optional>

#include "env/poll.hpp"

namespace stillpoint::capture {
namespace {

constexpr std::size_t questions_in_flight = 16;           // hides the round trip on sparse bitmaps
constexpr std::uint64_t question_bytes_max = 0xffff0000;  // 32 bits on the wire, a multiple of 64K
// A server may answer block by block. A limit on the whole keeps one that does so over terabytes
// from holding us for days; 16 TiB at 64 KiB granularity takes QEMU 0.3 s.
constexpr int budget_in_timeouts = 10;

class StatusRun;

struct Slot {
    StatusRun* run = nullptr;
    Extent asked;
    std::uint64_t covered = 0;  // bytes from asked.at that were answered for
    bool busy = false;
};

class StatusRun {
public:
    StatusRun(NbdConnection& connection, const StatusQuestion& question, ExtentCollector& into)
        : connection_(connection), question_(question), into_(into) {}
    ~StatusRun() {
        if (in_flight_ > 0) connection_.close();  // the slots die with us
    }
    StatusRun(const StatusRun&) = delete;
    StatusRun& operator=(const StatusRun&) = delete;

    Status run(const Patience& patience);
    int take_answer(Slot& slot, const std::uint32_t* entries, std::size_t count) noexcept;
    void finish(Slot& slot, int error) noexcept;

private:
    std::optional<Extent> next_piece();
    Status ask();
    Status wait(const env::Deadline& overall, const Patience& patience);

    NbdConnection& connection_;
    const StatusQuestion& question_;
    ExtentCollector& into_;
    std::array<Slot, questions_in_flight> slots_;
    std::size_t in_flight_ = 0;
    std::size_t next_extent_ = 0;   // of question_.where
    std::uint64_t next_bytes_ = 0;  // of that extent already asked for
    std::deque<Extent> again_;      // what short answers left over; at most one per slot
    std::optional<Error> failure_;
};

int on_extents(void* user, const char* /*context: we asked for one only*/, std::uint64_t /*offset*/,
               std::uint32_t* entries, std::size_t count, int* error) noexcept {
    auto& slot = *static_cast<Slot*>(user);
    *error = slot.run->take_answer(slot, entries, count);
    return *error == 0 ? 0 : -1;
}

int on_done(void* user, int* error) noexcept {
    auto& slot = *static_cast<Slot*>(user);
    slot.run->finish(slot, *error);
    return 1;  // libnbd retires the command
}

// @return 0, or EPROTO for nonsense
int StatusRun::take_answer(Slot& slot, const std::uint32_t* entries, std::size_t count) noexcept {
    if (slot.covered != 0) return EPROTO;  // a second answer to one question
    for (std::size_t n = 0; n + 1 < count; n += 2) {
        const std::uint64_t length = entries[n];
        if (length == 0 || slot.covered >= slot.asked.length.raw()) return EPROTO;
        const ByteOffset at{slot.asked.at.raw() + slot.covered};
        // The last one may reach beyond the question.
        const ByteCount cut{std::min(length, slot.asked.length.raw() - slot.covered)};
        if ((entries[n + 1] & question_.flag) != 0) into_.add({at, cut});
        slot.covered += cut.raw();
    }
    return 0;
}

void StatusRun::finish(Slot& slot, int error) noexcept {
    slot.busy = false;
    --in_flight_;
    const std::string doing =
        connection_.name() + ": block status at byte " + std::to_string(slot.asked.at.raw());
    if (error != 0 || slot.covered == 0) {
        if (!failure_) failure_ = reply_error(doing, error != 0 ? error : EPROTO);
        return;
    }
    if (slot.covered < slot.asked.length.raw()) {
        again_.push_back({ByteOffset{slot.asked.at.raw() + slot.covered},
                          ByteCount{slot.asked.length.raw() - slot.covered}});
    }
}

std::optional<Extent> StatusRun::next_piece() {
    if (!again_.empty()) {
        const Extent piece = again_.front();
        again_.pop_front();
        return piece;
    }
    if (next_extent_ == question_.where.size()) return std::nullopt;
    const Extent& extent = question_.where[next_extent_];
    const std::uint64_t length = std::min(extent.length.raw() - next_bytes_, question_bytes_max);
    const Extent piece{ByteOffset{extent.at.raw() + next_bytes_}, ByteCount{length}};
    next_bytes_ += length;
    if (next_bytes_ == extent.length.raw()) {
        ++next_extent_;
        next_bytes_ = 0;
    }
    return piece;
}

Status StatusRun::ask() {
    for (Slot& slot : slots_) {
        if (slot.busy) continue;
        const auto piece = next_piece();
        if (!piece) return {};
        slot = {this, *piece, 0, true};
        ++in_flight_;
        nbd_extent_callback extents{on_extents, &slot, nullptr};
        nbd_completion_callback done{on_done, &slot, nullptr};
        if (nbd_aio_block_status(connection_.handle(), piece->length.raw(), piece->at.raw(),
                                 extents, done, 0) < 0) {
            const std::string why = nbd_get_error();
            return fail(Errc::io, "capture.disconnected", connection_.name() + ": " + why);
        }
    }
    return {};
}

Status StatusRun::wait(const env::Deadline& overall, const Patience& patience) {
    const env::Nanoseconds budget = std::min(patience.reply_timeout, overall.left());
    std::array polls{connection_.poll_entry(), pollfd{patience.cancel.poll_fd(), POLLIN, 0}};
    SP_ASSIGN(const bool ready, env::wait_any(polls, env::Deadline{patience.clock, budget}));
    SP_TRY(patience.cancel.check());
    if (!ready || overall.passed()) {
        return fail(Errc::timeout, "capture.stalled",
                    connection_.name() + ": no block status in time");
    }
    return connection_.progress(polls[0].revents);
}

Status StatusRun::run(const Patience& patience) {
    const env::Deadline overall{patience.clock, budget_in_timeouts * patience.reply_timeout};
    while (true) {
        if (!failure_) SP_TRY(ask());
        if (in_flight_ == 0) break;
        SP_TRY(wait(overall, patience));
    }
    if (failure_) return fail(*failure_);
    return {};
}

}  // namespace

Status query_status(NbdConnection& connection, const StatusQuestion& question,
                    ExtentCollector& into, const Patience& patience) {
    return StatusRun{connection, question, into}.run(patience);
}

}  // namespace stillpoint::capture
