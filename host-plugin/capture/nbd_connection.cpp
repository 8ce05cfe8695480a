#include "capture/nbd_connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/limits.hpp"
#include "env/poll.hpp"
#include "env/unix_socket.hpp"

namespace stillpoint::capture {
namespace {

constexpr std::uint32_t server_bytes_max = 32u << 20;  // QEMU's own limit for one request

std::string last_error() {
    const char* text = nbd_get_error();
    return text != nullptr ? text : "unknown NBD error";
}

Error connect_error(const std::string& name) {
    const Errc code = nbd_get_errno() == ENOENT ? Errc::not_found : Errc::io;
    return {code, "capture.connect", name + ": " + last_error(), {}};
}

}  // namespace

Error reply_error(const std::string& doing, int error_number) {
    const std::string text = doing + ": the server answered " + std::strerror(error_number);
    switch (error_number) {
        case EINVAL:
        case ENOTCONN:
        case ESHUTDOWN:
            return {Errc::refused, "snapshot.broken", text,
                    "the snapshot ended before it was read: give scratch more space, or run the "
                    "backup when the guest writes less"};
        case EPROTO:
            return {Errc::corrupt, "capture.bad_reply", text, {}};
        default:
            return {Errc::io, "capture.read_failed", text, "check the disk's storage"};
    }
}

void NbdConnection::Closer::operator()(nbd_handle* handle) const noexcept {
    // A polite end where nothing is owed; closing is enough for the server otherwise.
    if (nbd_aio_is_ready(handle) == 1) nbd_aio_disconnect(handle, 0);
    nbd_close(handle);
}

NbdConnection::NbdConnection(nbd_handle* handle, std::string name)
    : handle_(handle), name_(std::move(name)) {}

Result<NbdConnection> NbdConnection::open(const NbdTarget& target, const Patience& patience) {
    const std::string name = "export " + target.export_name + " at " + target.socket;
    NbdConnection connection{nbd_create(), name};
    if (!connection.handle_) return fail(connect_error(name));
    SP_TRY(connection.configure(target));
    const env::Deadline deadline{patience.clock, patience.reply_timeout};
    SP_ASSIGN(env::UnixSocket socket,
              env::UnixSocket::connect(target.socket, deadline, patience.cancel));
    // libnbd owns the descriptor from here on, also when the call fails.
    if (nbd_aio_connect_socket(connection.handle(), socket.release().release()) != 0) {
        return fail(connect_error(name));
    }
    SP_TRY(connection.handshake(patience));
    SP_TRY(connection.check_export());
    if (!target.context.empty()) {
        connection.has_context_ =
            nbd_can_meta_context(connection.handle(), target.context.c_str()) == 1;
    }
    return connection;
}

Status NbdConnection::configure(const NbdTarget& target) {
    nbd_handle* handle = handle_.get();
    // libnbd would clear each buffer first, a pass over memory that hides what a server did not
    // send; the reader counts what arrived instead.
    const bool done =
        nbd_set_export_name(handle, target.export_name.c_str()) == 0 &&
        nbd_set_request_structured_replies(handle, true) == 0 &&
        nbd_set_pread_initialize(handle, false) == 0 &&
        (target.context.empty() || nbd_add_meta_context(handle, target.context.c_str()) == 0);
    if (!done) return fail(connect_error(name_));
    return {};
}

Status NbdConnection::handshake(const Patience& patience) {
    const env::Deadline deadline{patience.clock, patience.reply_timeout};
    while (nbd_aio_is_connecting(handle()) == 1 || nbd_aio_is_negotiating(handle()) == 1) {
        std::array polls{poll_entry(), pollfd{patience.cancel.poll_fd(), POLLIN, 0}};
        SP_ASSIGN(const bool ready, env::wait_any(polls, deadline));
        SP_TRY(patience.cancel.check());
        if (!ready) {
            return fail(Errc::timeout, "capture.stalled", name_ + ": no greeting in time",
                        "the server may be serving somebody else, or hang");
        }
        if (!progress(polls[0].revents)) return fail(connect_error(name_));
    }
    if (nbd_aio_is_ready(handle()) != 1) {
        return fail(Errc::io, "capture.connect", name_ + ": the server ended the handshake");
    }
    return {};
}

Status NbdConnection::check_export() {
    const std::int64_t size = nbd_get_size(handle());
    if (size < 0 || static_cast<std::uint64_t>(size) > limits::disk_bytes_max) {
        return fail(Errc::unsupported, "capture.size",
                    name_ + ": the server claims a size of " + std::to_string(size) + " bytes");
    }
    size_ = ByteCount{static_cast<std::uint64_t>(size)};
    const std::int64_t minimum =
        std::max<std::int64_t>(nbd_get_block_size(handle(), LIBNBD_SIZE_MINIMUM), 1);
    // Chunks must be whole blocks of the server, else a good request would look like a broken one.
    if (minimum > limits::chunk_bytes_min || (minimum & (minimum - 1)) != 0 ||
        size % minimum != 0 || request_bytes_max() < limits::chunk_bytes_min) {
        return fail(Errc::unsupported, "capture.block_size",
                    name_ + ": unusable block sizes (minimum " + std::to_string(minimum) +
                        ", maximum " + std::to_string(request_bytes_max()) + ")");
    }
    return {};
}

bool NbdConnection::can_multi_conn() const {
    return nbd_can_multi_conn(handle()) == 1;
}

std::uint32_t NbdConnection::request_bytes_max() const {
    const std::int64_t said = nbd_get_block_size(handle(), LIBNBD_SIZE_MAXIMUM);
    if (said <= 0 || said > server_bytes_max) return server_bytes_max;
    return static_cast<std::uint32_t>(said);
}

bool NbdConnection::alive() const {
    return handle_ && nbd_aio_is_dead(handle()) == 0 && nbd_aio_is_closed(handle()) == 0;
}

pollfd NbdConnection::poll_entry() const {
    if (!handle_) return {-1, 0, 0};
    const unsigned direction = nbd_aio_get_direction(handle());
    short events = 0;
    if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0) events |= POLLIN;
    if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0) events |= POLLOUT;
    return {nbd_aio_get_fd(handle()), events, 0};
}

Status NbdConnection::progress(short revents) {
    constexpr short trouble = POLLHUP | POLLERR | POLLNVAL;
    const unsigned direction = nbd_aio_get_direction(handle());
    int outcome = 0;
    // One of both only: reading may change the state so that writing is no longer due.
    if ((direction & LIBNBD_AIO_DIRECTION_READ) != 0 && (revents & (POLLIN | trouble)) != 0) {
        outcome = nbd_aio_notify_read(handle());
    } else if ((direction & LIBNBD_AIO_DIRECTION_WRITE) != 0 &&
               (revents & (POLLOUT | trouble)) != 0) {
        outcome = nbd_aio_notify_write(handle());
    }
    if (outcome == 0 && alive()) return {};
    const std::string why = outcome == 0 ? "the server closed the connection" : last_error();
    return fail(Errc::io, "capture.disconnected", name_ + ": " + why,
                "the hypervisor, its NBD server or the backup job ended");
}

}  // namespace stillpoint::capture
