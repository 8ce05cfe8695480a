#include "phony_nbd.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <list>

#include "base/check.hpp"
#include "env/unix_socket.hpp"

namespace stillpoint::test {
namespace {

using namespace std::chrono_literals;
const env::SystemClock real_clock;

// NBD is big-endian.
class Message {
public:
    Message& number(std::uint64_t value, unsigned width) {
        for (unsigned n = width; n-- > 0;) {
            bytes_.push_back(static_cast<std::byte>(value >> (8 * n) & 0xff));
        }
        return *this;
    }
    Message& text(std::string_view text) { return raw(as_bytes(text)); }
    Message& raw(ByteView bytes) {
        bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
        return *this;
    }
    [[nodiscard]] const Bytes& bytes() const { return bytes_; }

private:
    Bytes bytes_;
};

class Session {
public:
    Session(env::UniqueFd fd, const Lies& lies, env::CancelToken stop)
        : socket_(env::UnixSocket::adopt(std::move(fd), "client").value()),
          lies_(lies),
          stop_(std::move(stop)) {}

    // Ends silently when the client goes or the test ends.
    Status run() {
        SP_TRY(send(Message{}.text("NBDMAGICIHAVEOPT").number(3, 2)));
        SP_TRY(number(4));
        while (true) {
            SP_ASSIGN(const bool ready, negotiate());
            if (ready) break;
        }
        while (true) SP_TRY(answer());
    }

private:
    Status send(const Message& message) {
        return socket_.write_all(message.bytes(), env::Deadline{real_clock, 1h}, stop_);
    }
    Result<Bytes> take(std::size_t count) {
        Bytes bytes(count);
        std::size_t have = 0;
        while (have < count) {
            SP_ASSIGN(const std::size_t n, socket_.read_some(std::span{bytes}.subspan(have),
                                                             env::Deadline{real_clock, 1h}, stop_));
            have += n;
        }
        return bytes;
    }
    Result<std::uint64_t> number(std::size_t width) {
        SP_ASSIGN(const Bytes bytes, take(width));
        std::uint64_t value = 0;
        for (const std::byte byte : bytes) value = value << 8 | std::to_integer<unsigned>(byte);
        return value;
    }

    Status option_reply(std::uint64_t option, std::uint32_t type, const Message& data) {
        return send(Message{}
                        .number(0x3e889045565a9, 8)
                        .number(option, 4)
                        .number(type, 4)
                        .number(data.bytes().size(), 4)
                        .raw(data.bytes()));
    }
    // @return true when transmission begins
    Result<bool> negotiate() {
        constexpr std::uint32_t ack = 1, info = 3, meta_context = 4, unsupported = 0x80000001;
        SP_TRY(take(8));
        SP_ASSIGN(const std::uint64_t option, number(4));
        SP_ASSIGN(const std::uint64_t length, number(4));
        SP_ASSIGN(const Bytes data, take(length));
        if (option == 10) {  // set meta context: the one that was asked for gets id 1
            const auto at = [&](std::size_t n) { return std::to_integer<std::size_t>(data[n]); };
            const std::size_t name_bytes = at(2) << 8 | at(3);
            const std::size_t context_at = 4 + name_bytes + 8;
            SP_TRY(option_reply(option, meta_context,
                                Message{}.number(1, 4).raw(ByteView{data}.subspan(context_at))));
            SP_TRY(option_reply(option, ack, {}));
            return false;
        }
        if (option == 8) {  // structured replies
            SP_TRY(option_reply(option, ack, {}));
            return false;
        }
        if (option != 7) {
            SP_TRY(option_reply(option, unsupported, {}));
            return false;
        }
        SP_TRY(option_reply(option, info,
                            Message{}.number(0, 2).number(lies_.size, 8).number(0x103, 2)));
        SP_TRY(option_reply(option, ack, {}));
        return true;
    }

    Status reply(std::uint32_t type, std::uint64_t cookie, const Message& data) {
        return send(Message{}
                        .number(0x668e33ef, 4)
                        .number(1, 2)
                        .number(type, 2)
                        .number(cookie, 8)
                        .number(data.bytes().size(), 4)
                        .raw(data.bytes()));
    }
    Status answer() {
        constexpr std::uint32_t offset_data = 1, block_status = 5;
        SP_TRY(take(6));
        SP_ASSIGN(const std::uint64_t type, number(2));
        SP_ASSIGN(const std::uint64_t cookie, number(8));
        SP_ASSIGN(const std::uint64_t at, number(8));
        SP_ASSIGN(const std::uint64_t length, number(4));
        if (type == 0) {
            const auto [said_at, count] = lies_.read(at, static_cast<std::uint32_t>(length));
            return reply(offset_data, cookie, Message{}.number(said_at, 8).raw(Bytes(count)));
        }
        if (type != 7) return fail(Errc::io, "phony.end", "disconnected");
        Message message;
        message.number(lies_.status_context, 4);
        for (const auto& [bytes, flags] : lies_.status(at, static_cast<std::uint32_t>(length))) {
            message.number(bytes, 4).number(flags, 4);
        }
        return reply(block_status, cookie, message);
    }

    env::UnixSocket socket_;
    const Lies& lies_;
    env::CancelToken stop_;
};

}  // namespace

PhonyNbd::PhonyNbd(Lies lies)
    : lies_(std::move(lies)),
      folder_(env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-phony-")
                  .value()),
      listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket().data(), socket().size());
    SP_CHECK(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
             0);
    SP_CHECK(::listen(listener_.get(), 16) == 0);
    thread_ = std::jthread{[this] { serve(); }};
}

PhonyNbd::~PhonyNbd() {
    stop_.cancel();
}

void PhonyNbd::serve() {
    std::list<std::jthread> sessions;
    while (true) {
        std::array polls{pollfd{listener_.get(), POLLIN, 0}, pollfd{stop_.poll_fd(), POLLIN, 0}};
        (void)env::wait_any(polls, env::Deadline{real_clock, 1h});
        if (stop_.cancelled()) return;
        env::UniqueFd client{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        sessions.emplace_back([this, fd = client.release()] {
            (void)Session{env::UniqueFd{fd}, lies_, stop_}.run();
        });
    }
}

}  // namespace stillpoint::test
