#pragma once
#include "capture/extent_collector.hpp"
#include "capture/nbd_connection.hpp"

namespace stillpoint::capture {

/// One question to a server: which parts of `where` have the flag in the connection's context?
struct StatusQuestion {
    const extents::ExtentSet& where;  // within the disk; multiples of the server's block size
    std::uint32_t flag;               // of the context: NBD_STATE_ZERO, NBD_STATE_DIRTY
};

inline constexpr std::uint32_t state_dirty = 1;  // qemu:dirty-bitmap
inline constexpr std::uint32_t state_zero = 2;   // base:allocation; HOLE alone (1) proves nothing

/// Asks with several requests in flight, again where an answer was short.
/// The connection stays usable after an answer that was an error or nonsense; not after a timeout,
/// a cancel or its loss (then it is closed).
/// @errors as reply_error · corrupt: an answer that covers nothing · timeout · cancelled
[[nodiscard]] Status query_status(NbdConnection& connection, const StatusQuestion& question,
                                  ExtentCollector& into, const Patience& patience);

}  // namespace stillpoint::capture
