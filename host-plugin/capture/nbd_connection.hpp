#pragma once
#include <libnbd.h>
#include <poll.h>

#include <memory>
#include <string>

#include "base/quantity.hpp"
#include "env/cancel.hpp"
#include "env/clock.hpp"

namespace stillpoint::capture {

/// What every wait of this module obeys. Lives for one call.
struct Patience {
    const env::Clock& clock;
    env::Nanoseconds reply_timeout;
    const env::CancelToken& cancel;
};

/// Where to connect, and the one meta context to ask for (empty: none). A connection never asks for
/// two: a block status request always answers for all of them, and a copy-before-write view with a
/// bitmap refuses base:allocation where the dirty context still answers.
struct NbdTarget {
    std::string socket;
    std::string export_name;
    std::string context;
};

/// The Error for an errno value in a server's reply to a well-formed request (or -1 from libnbd).
/// EINVAL, ESHUTDOWN, ENOTCONN -> refused, id "snapshot.broken"; EPROTO -> corrupt; all else io.
/// @source copy-before-write answers EINVAL to every request once its snapshot broke
[[nodiscard]] Error reply_error(const std::string& doing, int error_number);

/// One ready libnbd handle, driven by poll(2) from outside; closes in its destructor.
/// @threads one at a time
class NbdConnection {
public:
    static Result<NbdConnection> open(const NbdTarget& target, const Patience& patience);

    [[nodiscard]] nbd_handle* handle() const { return handle_.get(); }
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] ByteCount size() const { return size_; }
    [[nodiscard]] bool has_context() const { return has_context_; }
    [[nodiscard]] bool can_multi_conn() const;
    /// Largest request the server takes, in bytes; 32 MiB when it does not say.
    [[nodiscard]] std::uint32_t request_bytes_max() const;
    /// What to wait for now; fd -1 when closed.
    [[nodiscard]] pollfd poll_entry() const;
    /// Lets libnbd read or write; completion callbacks run inside.
    /// @errors io, id "capture.disconnected"
    [[nodiscard]] Status progress(short revents);
    [[nodiscard]] bool alive() const;
    /// Forgets everything in flight: buffers and callbacks handed to libnbd are free afterwards.
    void close() { handle_.reset(); }

private:
    struct Closer {
        void operator()(nbd_handle* handle) const noexcept;
    };
    NbdConnection(nbd_handle* handle, std::string name);
    Status configure(const NbdTarget& target);
    Status handshake(const Patience& patience);
    Status check_export();

    std::unique_ptr<nbd_handle, Closer> handle_;
    std::string name_;
    ByteCount size_;
    bool has_context_ = false;
};

}  // namespace stillpoint::capture
