#pragma once
#include <vector>

#include "capture/capture.hpp"
#include "capture/nbd_connection.hpp"

namespace stillpoint::capture {

struct ReadTask {
    const extents::ExtentSet& what;  // within the disk
    unsigned workers;                // at least 1
    const NbdSource::Sink& sink;
    const ReadOptions& options;
};

/// Reads over all connections at once; the calling thread does the socket work, the workers call
/// the sink. After a failure the connections are closed.
/// @errors as NbdSource::read
[[nodiscard]] Status read_extents(std::vector<NbdConnection>& connections, const ReadTask& task,
                                  const Patience& patience);

}  // namespace stillpoint::capture
