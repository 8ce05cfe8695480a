#include "restore/nbd_connection.hpp"

#include <libnbd.h>

#include <algorithm>
#include <cerrno>

namespace stillpoint::restore {
namespace {

// The server is a child of ours over a local file: one that has not answered for so long hangs.
constexpr std::chrono::minutes reply_timeout{2};
constexpr int look_ms = 100;                            // how late a cancel may be noticed
constexpr std::uint64_t status_bytes_max = 1ull << 30;  // one block status question
constexpr std::uint32_t zero_flag = 2;                  // base:allocation, NBD_STATE_ZERO

Error nbd_error(const std::string& doing) {
    const int number = nbd_get_errno();
    if (number == 0) return {Errc::io, "nbd.error", doing + ": " + nbd_get_error(), {}};
    return env::os_error(doing, number);
}

}  // namespace

void NbdConnection::Closer::operator()(nbd_handle* handle) const {
    nbd_close(handle);
}

Result<NbdConnection> NbdConnection::connect(const env::Path& socket,
                                             const env::CancelToken& cancel) {
    Handle handle{nbd_create()};
    if (!handle) return fail(nbd_error("create an NBD client"));
    if (nbd_add_meta_context(handle.get(), LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 ||
        nbd_aio_connect_unix(handle.get(), socket.c_str()) != 0) {
        return fail(nbd_error("connect to " + socket.string()));
    }
    const env::SystemClock clock;
    const env::Deadline deadline{clock, reply_timeout};
    while (nbd_aio_is_connecting(handle.get()) != 0) {
        SP_TRY(cancel.check());
        if (deadline.passed()) {
            return fail(Errc::timeout, "nbd.timeout", socket.string() + " did not answer");
        }
        if (nbd_poll(handle.get(), look_ms) < 0) {
            return fail(nbd_error("connect to " + socket.string()));
        }
    }
    if (nbd_aio_is_ready(handle.get()) != 1) {
        return fail(Errc::io, "nbd.error", socket.string() + " refused the connection");
    }
    return NbdConnection{std::move(handle), cancel};
}

Status NbdConnection::await(std::int64_t cookie, const std::string& doing) {
    if (cookie < 0) return fail(nbd_error(doing));
    const env::Deadline deadline{clock_, reply_timeout};
    while (true) {
        const int completed =
            nbd_aio_command_completed(handle_.get(), static_cast<std::uint64_t>(cookie));
        if (completed > 0) return {};
        if (completed < 0) return fail(nbd_error(doing));
        Status status = turn(deadline, doing);
        if (status) continue;
        // The command still owns the caller's buffer: nothing may run on this connection again.
        handle_.reset();
        return status;
    }
}

Status NbdConnection::turn(const env::Deadline& deadline, const std::string& doing) {
    SP_TRY(cancel_.check());
    if (deadline.passed()) {
        return fail(Errc::timeout, "nbd.timeout", doing + ": no answer in time");
    }
    if (nbd_poll(handle_.get(), look_ms) < 0) return fail(nbd_error(doing));
    return {};
}

Status NbdConnection::usable() const {
    if (handle_) return {};
    return fail(Errc::io, "nbd.error", "the connection to qemu-nbd broke earlier");
}

Result<ByteCount> NbdConnection::size() {
    SP_TRY(usable());
    const std::int64_t bytes = nbd_get_size(handle_.get());
    if (bytes < 0) return fail(nbd_error("ask for the size of an image"));
    return ByteCount{static_cast<std::uint64_t>(bytes)};
}

Status NbdConnection::write(ByteOffset at, ByteView bytes) {
    SP_TRY(usable());
    return await(nbd_aio_pwrite(handle_.get(), bytes.data(), bytes.size(), at.raw(),
                                nbd_completion_callback{}, 0),
                 "write to an image at byte " + std::to_string(at.raw()));
}

Status NbdConnection::read(ByteOffset at, std::span<std::byte> into) {
    SP_TRY(usable());
    return await(nbd_aio_pread(handle_.get(), into.data(), into.size(), at.raw(),
                               nbd_completion_callback{}, 0),
                 "read an image at byte " + std::to_string(at.raw()));
}

Status NbdConnection::flush() {
    SP_TRY(usable());
    return await(nbd_aio_flush(handle_.get(), nbd_completion_callback{}, 0), "flush an image");
}

Status NbdConnection::close() {
    SP_TRY(usable());
    const std::string doing = "say goodbye to qemu-nbd";
    if (nbd_aio_disconnect(handle_.get(), 0) != 0) return fail(nbd_error(doing));
    const env::Deadline deadline{clock_, reply_timeout};
    while (nbd_aio_is_closed(handle_.get()) == 0 && nbd_aio_is_dead(handle_.get()) == 0) {
        SP_TRY(turn(deadline, doing));
    }
    handle_.reset();
    return {};
}

namespace {

/// Pairs of length and flags from the server, from one position on.
struct StatusReply {
    std::uint64_t at = 0;
    std::uint64_t end = 0;
    std::optional<Extent> data;

    void take(std::uint32_t length, std::uint32_t flags) {
        const std::uint64_t bytes = std::min<std::uint64_t>(length, end - std::min(at, end));
        if ((flags & zero_flag) == 0 && bytes != 0 && !data) {
            data = Extent{ByteOffset{at}, ByteCount{bytes}};
        }
        at += bytes;
    }
};

int on_status(void* self, const char* context, std::uint64_t offset, std::uint32_t* entries,
              std::size_t count, int*) {
    auto& reply = *static_cast<StatusReply*>(self);
    if (std::string_view{context} != LIBNBD_CONTEXT_BASE_ALLOCATION || offset != reply.at) return 0;
    for (std::size_t n = 0; n + 1 < count && !reply.data; n += 2) {
        reply.take(entries[n], entries[n + 1]);
    }
    return 0;
}

}  // namespace

Result<std::optional<Extent>> NbdConnection::next_data(ByteOffset at, ByteOffset end) {
    SP_TRY(usable());
    const bool can = nbd_can_meta_context(handle_.get(), LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    if (!can && at < end) return Extent{at, ByteCount{end.raw() - at.raw()}};
    StatusReply reply{.at = at.raw(), .end = end.raw(), .data = {}};
    while (reply.at < reply.end && !reply.data) {
        const std::uint64_t before = reply.at;
        const std::uint64_t ask = std::min(reply.end - reply.at, status_bytes_max);
        SP_TRY(await(
            nbd_aio_block_status(
                handle_.get(), ask, reply.at,
                nbd_extent_callback{.callback = on_status, .user_data = &reply, .free = nullptr},
                nbd_completion_callback{}, 0),
            "ask which parts of an image are empty"));
        // A server that tells nothing: read it all.
        if (reply.at == before) return Extent{ByteOffset{before}, ByteCount{ask}};
    }
    return reply.data;
}

}  // namespace stillpoint::restore
