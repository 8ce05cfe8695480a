#pragma once
#include <string>
#include <vector>

#include "env/process.hpp"
#include "restore/nbd_connection.hpp"

namespace stillpoint::restore {

enum class Access { read_only, read_write };

struct ImageServerOptions {
    env::Path file;
    std::string format = "qcow2";
    Access access = Access::read_only;
    unsigned connections = 1;
};

/// A qemu-nbd of our own for one image, on a socket in a private folder, with its connections. It
/// ends with the last connection, so also when we die; the destructor kills and reaps it.
class ImageServer {
public:
    /// @errors not_found: qemu-nbd is not installed · io: it cannot open the image · timeout ·
    ///         cancelled
    static Result<ImageServer> start(const ImageServerOptions& options,
                                     const env::CancelToken& cancel);
    [[nodiscard]] std::size_t connections() const { return connections_.size(); }
    [[nodiscard]] NbdConnection& connection(std::size_t at) { return connections_[at]; }
    /// Flushes, says goodbye and waits for its end.
    /// @errors io: it ended with a failure, what it had cached may be lost · no_space
    Status stop(const env::CancelToken& cancel);

private:
    ImageServer(env::TemporaryFolder folder, env::Child child)
        : folder_(std::move(folder)), child_(std::move(child)) {}
    Status connect(unsigned count, const env::CancelToken& cancel);
    env::TemporaryFolder folder_;  // first: goes last
    env::Child child_;
    std::vector<NbdConnection> connections_;
};

}  // namespace stillpoint::restore
