#include "guest/channel.hpp"

#include <algorithm>
#include <array>

#include "guest/clean_text.hpp"

namespace stillpoint::guest {
namespace {

constexpr std::size_t read_bytes_max = 16u << 10;

tl::unexpected<Error> protocol_error(const std::string& text) {
    return fail(Errc::corrupt, "guest.protocol", "guest: " + text,
                "check that the extension in the guest is ours and up to date");
}

}  // namespace

Status Channel::send(const serialization::Message& message, const env::Deadline& deadline,
                     const env::CancelToken& cancel) {
    const Bytes frame =
        serialization::encode_frame({session_, ++sent_, serialization::encode_message(message)});
    return socket_.write_all(frame, deadline, cancel);
}

Result<serialization::Message> Channel::receive(WaitBudget& budget, const env::Deadline& deadline,
                                                const env::CancelToken& cancel) {
    while (true) {
        while (const auto frame = reader_.next()) {
            if (frame->session != session_ || frame->sequence <= last_received_) continue;
            last_received_ = frame->sequence;
            return open(*frame);
        }
        SP_TRY(read_more(budget, deadline, cancel));
    }
}

void Channel::give_up_if_stuck() {
    if (reader_.waiting() && waited_at_ == reader_.position()) reader_.give_up_partial();
    waited_at_ = reader_.position();
}

Result<serialization::Message> Channel::open(const serialization::Frame& frame) const {
    auto message = serialization::decode_message(frame.payload);
    if (!message) return protocol_error(message.error().text);
    SP_TRY(clean_message(*message));
    return message;
}

Status Channel::read_more(WaitBudget& budget, const env::Deadline& deadline,
                          const env::CancelToken& cancel) {
    SP_TRY(cancel.check());
    // A socket that always has bytes never waits, so that its own deadline would never be looked
    // at.
    if (deadline.passed()) return fail(Errc::timeout, "socket.timeout", "no answer in time");
    if (budget.bytes_left == 0) {
        return protocol_error("sent " + std::to_string(wait_bytes_max) +
                              " bytes without answering");
    }
    std::array<std::byte, read_bytes_max> buffer;
    const std::size_t wanted = std::min({buffer.size(), reader_.room(), budget.bytes_left});
    SP_ASSIGN(const std::size_t got,
              socket_.read_some(std::span(buffer).first(wanted), deadline, cancel));
    reader_.feed(std::span(buffer).first(got));
    budget.bytes_left -= got;
    return {};
}

}  // namespace stillpoint::guest
