#pragma once
#include <memory>

#include "env/cancel.hpp"
#include "env/process.hpp"
#include "hypervisor/image/session.hpp"
#include "hypervisor/qmp/client.hpp"

namespace stillpoint::hypervisor::image {

/// A qemu-storage-daemon of our own. It ends with the thread that started it, at the latest when
/// the keeper sees to it. @threads one at a time; start and stop on the same thread
class StorageDaemon {
    struct Key {};

public:
    /// Makes the order's folder, starts the daemon and greets it over a pair of sockets, so that
    /// nobody else can reach its monitor.
    /// @errors not_found, id "image.no_daemon": not installed · unsupported, id "image.too_old" ·
    ///         io, id "image.daemon": it ended at once, with its words · invalid, id
    ///         "socket.path_too_long" · timeout · cancelled
    static Result<std::unique_ptr<StorageDaemon>> start(const KeeperOrder& order,
                                                        const env::Deadline& deadline,
                                                        const env::CancelToken& cancel);
    StorageDaemon(Key, env::Child process, qmp::QmpClient client)
        : process_(std::move(process)), client_(std::move(client)) {}
    StorageDaemon(const StorageDaemon&) = delete;
    StorageDaemon& operator=(const StorageDaemon&) = delete;
    ~StorageDaemon() = default;  // kills it if it still runs

    [[nodiscard]] qmp::QmpClient& client() { return client_; }
    /// Asks it to close everything and waits for its end; kills it at the deadline.
    /// @errors timeout, id "image.daemon_hangs": it had to be killed
    Status stop(const env::Deadline& deadline);

private:
    env::Child process_;
    qmp::QmpClient client_;
};

/// Ends a daemon whose owner is gone: SIGTERM, which lets it store bitmaps, then SIGKILL. It is
/// known by number and start time. Success when there is none.
[[nodiscard]] Status end_daemon(const KeeperOrder& order, const env::Deadline& deadline);

/// Removes socket, record, log and folder; what does not exist is success.
[[nodiscard]] Status remove_files(const KeeperOrder& order);

}  // namespace stillpoint::hypervisor::image
