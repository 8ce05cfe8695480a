#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "base/quantity.hpp"
#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "env/files.hpp"

struct nbd_handle;

namespace stillpoint::restore {

/// One connection to an NBD server of our own; every wait has a deadline and can be cancelled.
/// After a timeout or a cancel it is unusable.
/// @threads one at a time
class NbdConnection {
public:
    /// @errors io: nobody listens there yet · timeout · cancelled
    static Result<NbdConnection> connect(const env::Path& socket, const env::CancelToken& cancel);
    [[nodiscard]] Result<ByteCount> size();
    /// @errors no_space · io · timeout · cancelled
    Status write(ByteOffset at, ByteView bytes);
    Status read(ByteOffset at, std::span<std::byte> into);
    /// First stretch at or after `at`, before `end`, that may hold data; nullopt: zeros only.
    Result<std::optional<Extent>> next_data(ByteOffset at, ByteOffset end);
    Status flush();
    /// Says goodbye, so that the server may end.
    Status close();

private:
    struct Closer {
        void operator()(nbd_handle* handle) const;
    };
    using Handle = std::unique_ptr<nbd_handle, Closer>;
    NbdConnection(Handle handle, const env::CancelToken& cancel)
        : handle_(std::move(handle)), cancel_(cancel) {}
    [[nodiscard]] Status usable() const;
    Status await(std::int64_t cookie, const std::string& doing);
    /// One look at the socket, bounded.
    Status turn(const env::Deadline& deadline, const std::string& doing);
    Handle handle_;
    env::CancelToken cancel_;
    env::SystemClock clock_;
};

}  // namespace stillpoint::restore
