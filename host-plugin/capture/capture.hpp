#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "base/quantity.hpp"
#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "extents/extent_set.hpp"

/// Reads a frozen view over NBD.
namespace stillpoint::capture {

struct NbdAddress {
    std::string socket;
    std::string export_name;
    std::string dirty_context;  // empty: none asked for
};

/// What has to be done for a disk, in ascending order (DESIGN section 7, "Extents").
struct ReadPlan {
    extents::ExtentSet read;   // chunk-aligned; read these bytes
    extents::ExtentSet zeros;  // chunk-aligned; zero without reading
    [[nodiscard]] ByteCount read_bytes() const { return extents::total(read); }
};

/// Pure: from dirty extents (whole disk when tracking is unknown), the zero extents of
/// base:allocation, the disk's size, the parent's size (a grown tail is dirty) and the chunk size.
/// A chunk is zero only when all of it is; every other dirty chunk is read whole.
struct PlanInput {
    extents::ExtentSet dirty;
    extents::ExtentSet zero;
    ByteCount size;
    std::optional<ByteCount> parent_size;
    ByteCount chunk{64u << 10};
};
[[nodiscard]] ReadPlan plan_reads(const PlanInput& input);
/// The first half of it: the chunks that must be shipped, whether zero or not. `zero` is ignored.
/// A shrunk disk (parent_size > size) is dirty as a whole: a cut leaves no trace in a bitmap (I3).
[[nodiscard]] extents::ExtentSet dirty_chunks(const PlanInput& input);

class Throttle;

struct ReadOptions {
    unsigned connections = 2;                  // fewer when the export does not allow several
    std::uint32_t request_bytes = 256u << 10;  // measured best: 128–256 KiB; at least the chunk
    unsigned in_flight_max = 32;               // over all connections; bounds memory
    env::Nanoseconds reply_timeout = std::chrono::seconds{30};  // without any answer
    std::shared_ptr<Throttle> throttle;  // shared by all disks of a VM; null: no further limit
};

/// A connected export. After a timeout, a cancel, a lost connection or a failed read it is of no
/// further use: every call fails.
/// Memory: in_flight_max + 2 × workers buffers of request_bytes, and at most extents_max extents
/// per set, whatever the disk's size.
/// @threads one at a time
class NbdSource {
public:
    virtual ~NbdSource() = default;
    [[nodiscard]] virtual ByteCount size() const = 0;
    /// Queries dirty (when a context was asked for) and, inside it, allocation. Allocation is a
    /// hint that spares reads: where the server cannot tell, everything dirty is read.
    /// @param chunk power of two; requests of later reads are multiples of it
    /// @errors unsupported, id "capture.no_dirty_context" · corrupt, io: the disk must be read in
    /// full · refused, id "snapshot.broken" · timeout · cancelled
    virtual Result<ReadPlan> plan(ByteCount chunk, std::optional<ByteCount> parent_size,
                                  const env::CancelToken& cancel) = 0;
    /// Called for each request's bytes, from several threads, in any order; offset and length are
    /// multiples of the chunk (the disk's end excepted). An error stops the read.
    using Sink = std::function<Status(ByteOffset at, ByteView bytes)>;
    /// Reads the extents with several requests in flight, asked for in ascending order; `workers`
    /// threads call the sink. Ends, also when cancelled, as soon as the running sink calls return.
    /// @errors refused, id "snapshot.broken": EINVAL/ENOTCONN/ESHUTDOWN on a good request · io:
    /// the server could not read, or the connection was lost (id "capture.disconnected") ·
    /// timeout, id "capture.stalled" · cancelled · the sink's own
    virtual Status read(const extents::ExtentSet& what, unsigned workers, const Sink& sink,
                        const env::CancelToken& cancel) = 0;
};

/// @errors not_found: no such socket or export · timeout · cancelled · io, unsupported: the
/// export cannot be used, the text says why
[[nodiscard]] Result<std::unique_ptr<NbdSource>> connect_nbd(const NbdAddress& address,
                                                             const ReadOptions& options,
                                                             const env::Clock& clock,
                                                             const env::CancelToken& cancel = {});

}  // namespace stillpoint::capture
