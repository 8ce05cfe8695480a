#include "hypervisor/qmp/probe.hpp"

#include <libnbd.h>

#include <array>
#include <memory>

#include "env/unix_socket.hpp"

namespace stillpoint::hypervisor::qmp {
namespace {

constexpr std::size_t sector_bytes = 512;

struct Close {
    void operator()(nbd_handle* handle) const { nbd_close(handle); }
};
using Handle = std::unique_ptr<nbd_handle, Close>;

tl::unexpected<Error> nbd_failure(Errc code, const char* id, const std::string& export_name) {
    const char* why = nbd_get_error();
    return fail(code, id,
                "probe of NBD export " + export_name + ": " + (why != nullptr ? why : "failed"));
}

Status turn(nbd_handle* handle, const std::string& export_name, const env::Deadline& deadline) {
    if (deadline.passed()) {
        return fail(Errc::timeout, "nbd.timeout",
                    "probe of NBD export " + export_name + ": no answer in time");
    }
    if (nbd_poll(handle, deadline.poll_ms()) >= 0) return {};
    return nbd_failure(Errc::io, "nbd.connection", export_name);
}

Result<Handle> connect(const env::Path& socket, const std::string& export_name,
                       const env::Deadline& deadline) {
    SP_ASSIGN(auto connected, env::UnixSocket::connect(socket, deadline));
    Handle handle{nbd_create()};
    if (!handle || nbd_set_export_name(handle.get(), export_name.c_str()) != 0 ||
        nbd_aio_connect_socket(handle.get(), connected.release().release()) != 0) {
        return nbd_failure(Errc::io, "nbd.connection", export_name);
    }
    while (nbd_aio_is_ready(handle.get()) != 1) {
        if (nbd_aio_is_dead(handle.get()) == 1 || nbd_aio_is_closed(handle.get()) == 1) {
            return nbd_failure(Errc::io, "nbd.connection", export_name);
        }
        SP_TRY(turn(handle.get(), export_name, deadline));
    }
    return handle;
}

// The client's flags (fixed newstyle, no zeroes) and NBD_OPT_ABORT without data. A connection that
// just ends makes QEMU complain in the VM's log.
constexpr std::array goodbye{std::byte{0},   std::byte{0},   std::byte{0},   std::byte{3},
                             std::byte{'I'}, std::byte{'H'}, std::byte{'A'}, std::byte{'V'},
                             std::byte{'E'}, std::byte{'O'}, std::byte{'P'}, std::byte{'T'},
                             std::byte{0},   std::byte{0},   std::byte{0},   std::byte{2},
                             std::byte{0},   std::byte{0},   std::byte{0},   std::byte{0}};

}  // namespace

NbdServer take_leave(const env::Path& socket, const env::Deadline& deadline) {
    auto connected = env::UnixSocket::connect(socket, deadline);
    if (!connected) {
        return connected.error().code == Errc::timeout ? NbdServer::silent : NbdServer::none;
    }
    // libnbd says goodbye too, but does not wait for the answer.
    Status open = connected->write_all(goodbye, deadline, {});
    std::array<std::byte, 256>
        answer{};  // the greeting and an acknowledgement; nothing depends on it
    while (open) {
        const auto count = connected->read_some(answer, deadline, {});
        if (!count) open = fail(count.error());
    }
    return open.error().code == Errc::timeout ? NbdServer::silent : NbdServer::left;
}

Status read_first_sector(const env::Path& socket, const std::string& export_name,
                         const env::Deadline& deadline) {
    std::array<char, sector_bytes> sector{};  // outlives the handle, which may still write to it
    SP_ASSIGN(const Handle handle, connect(socket, export_name, deadline));
    const auto cookie =
        nbd_aio_pread(handle.get(), sector.data(), sector.size(), 0, nbd_completion_callback{}, 0);
    if (cookie < 0) return nbd_failure(Errc::io, "nbd.connection", export_name);
    while (true) {
        const int completed =
            nbd_aio_command_completed(handle.get(), static_cast<uint64_t>(cookie));
        if (completed > 0) break;
        if (completed < 0) return nbd_failure(Errc::refused, "snapshot.broken", export_name);
        SP_TRY(turn(handle.get(), export_name, deadline));
    }
    nbd_shutdown(handle.get(), 0);  // politely; the close below does in any case
    return {};
}

}  // namespace stillpoint::hypervisor::qmp
