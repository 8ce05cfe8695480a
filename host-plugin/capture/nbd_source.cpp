#include <algorithm>
#include <bit>

#include "base/limits.hpp"
#include "capture/nbd_reader.hpp"
#include "capture/nbd_status.hpp"

namespace stillpoint::capture {
namespace {

constexpr const char* allocation_context = "base:allocation";
constexpr unsigned connections_max = 16;  // beyond that one QEMU main loop serves nobody better

class LibnbdSource final : public NbdSource {
public:
    LibnbdSource(NbdAddress address, const ReadOptions& options, const env::Clock& clock)
        : address_(std::move(address)), options_(options), clock_(clock) {}

    Status connect(const env::CancelToken& cancel);
    [[nodiscard]] ByteCount size() const override { return size_; }
    Result<ReadPlan> plan(ByteCount chunk, std::optional<ByteCount> parent_size,
                          const env::CancelToken& cancel) override;
    Status read(const extents::ExtentSet& what, unsigned workers, const Sink& sink,
                const env::CancelToken& cancel) override;

private:
    [[nodiscard]] Patience patience(const env::CancelToken& cancel) const {
        return {clock_, options_.reply_timeout, cancel};
    }
    [[nodiscard]] Result<NbdConnection> open(const std::string& context,
                                             const env::CancelToken& cancel) const;
    Result<extents::ExtentSet> query_dirty(ByteCount chunk, const env::CancelToken& cancel);
    Result<extents::ExtentSet> query_zero(const extents::ExtentSet& inside, ByteCount chunk,
                                          const env::CancelToken& cancel);
    Status fit_requests(ByteCount chunk);
    [[nodiscard]] Status usable() const;

    NbdAddress address_;
    ReadOptions options_;
    const env::Clock& clock_;
    ByteCount size_;
    std::vector<NbdConnection> connections_;  // [0] knows base:allocation where the server does
};

Status LibnbdSource::connect(const env::CancelToken& cancel) {
    SP_ASSIGN(NbdConnection first, open(allocation_context, cancel));
    size_ = first.size();
    const bool several = first.can_multi_conn();
    connections_.push_back(std::move(first));
    const unsigned wanted = several ? std::min(options_.connections, connections_max) : 1;
    while (connections_.size() < wanted) {
        SP_ASSIGN(NbdConnection next, open({}, cancel));
        connections_.push_back(std::move(next));
    }
    return fit_requests(ByteCount{limits::chunk_bytes_min});
}

Result<NbdConnection> LibnbdSource::open(const std::string& context,
                                         const env::CancelToken& cancel) const {
    SP_ASSIGN(
        NbdConnection connection,
        NbdConnection::open({address_.socket, address_.export_name, context}, patience(cancel)));
    if (!connections_.empty() && connection.size() != size_) {
        return fail(Errc::io, "capture.size",
                    connection.name() + ": its size changed from " + std::to_string(size_.raw()) +
                        " to " + std::to_string(connection.size().raw()) + " bytes");
    }
    return connection;
}

// A request is a power of two, at least the chunk, and no more than the server takes.
Status LibnbdSource::fit_requests(ByteCount chunk) {
    const std::uint64_t most = std::bit_floor(connections_[0].request_bytes_max());
    if (!std::has_single_bit(chunk.raw()) || chunk.raw() > most) {
        return fail(Errc::invalid, "capture.chunk",
                    connections_[0].name() + ": cannot be read in chunks of " +
                        std::to_string(chunk.raw()) + " bytes");
    }
    const std::uint64_t wanted = std::bit_floor(options_.request_bytes);
    options_.request_bytes = static_cast<std::uint32_t>(std::clamp(wanted, chunk.raw(), most));
    return {};
}

Status LibnbdSource::usable() const {
    const auto alive = [](const NbdConnection& connection) { return connection.alive(); };
    if (std::all_of(connections_.begin(), connections_.end(), alive)) return {};
    return fail(Errc::io, "capture.disconnected",
                "export " + address_.export_name + ": the connection was lost or given up before");
}

Result<extents::ExtentSet> LibnbdSource::query_dirty(ByteCount chunk,
                                                     const env::CancelToken& cancel) {
    SP_ASSIGN(NbdConnection connection, open(address_.dirty_context, cancel));
    if (!connection.has_context()) {
        return fail(Errc::unsupported, "capture.no_dirty_context",
                    connection.name() + " does not offer " + address_.dirty_context,
                    "the disk must be read in full");
    }
    ExtentCollector dirty{Coarsen::outward, {chunk, size_}};
    const extents::ExtentSet everywhere = extents::whole(size_);
    SP_TRY(query_status(connection, {everywhere, state_dirty}, dirty, patience(cancel)));
    return dirty.take();
}

Result<extents::ExtentSet> LibnbdSource::query_zero(const extents::ExtentSet& inside,
                                                    ByteCount chunk,
                                                    const env::CancelToken& cancel) {
    NbdConnection& connection = connections_[0];
    if (!connection.has_context()) return extents::ExtentSet{};
    ExtentCollector zero{Coarsen::inward, {chunk, size_}};
    Status status = query_status(connection, {inside, state_zero}, zero, patience(cancel));
    if (status) return zero.take();
    // Reading works without the hint; a broken snapshot or a dead connection does not.
    const bool hint_only = connection.alive() && status.error().code != Errc::refused;
    if (hint_only) return extents::ExtentSet{};
    return fail(std::move(status).error());
}

Result<ReadPlan> LibnbdSource::plan(ByteCount chunk, std::optional<ByteCount> parent_size,
                                    const env::CancelToken& cancel) {
    SP_TRY(usable());
    SP_TRY(fit_requests(chunk));
    PlanInput input;
    input.size = size_;
    input.parent_size = parent_size;
    input.chunk = chunk;
    input.dirty = extents::whole(size_);
    if (!address_.dirty_context.empty()) {
        SP_ASSIGN(input.dirty, query_dirty(chunk, cancel));
    }
    SP_ASSIGN(input.zero, query_zero(dirty_chunks(input), chunk, cancel));
    return plan_reads(input);
}

Status LibnbdSource::read(const extents::ExtentSet& what, unsigned workers, const Sink& sink,
                          const env::CancelToken& cancel) {
    SP_TRY(usable());
    if (!what.empty() && end_of(what.back()).value_or(ByteOffset{~0ull}).raw() > size_.raw()) {
        return fail(Errc::invalid, "capture.beyond_end",
                    "export " + address_.export_name + ": asked to read beyond its end");
    }
    const ReadTask task{what, std::max(workers, 1u), sink, options_};
    return read_extents(connections_, task, patience(cancel));
}

}  // namespace

Result<std::unique_ptr<NbdSource>> connect_nbd(const NbdAddress& address,
                                               const ReadOptions& options, const env::Clock& clock,
                                               const env::CancelToken& cancel) {
    auto source = std::make_unique<LibnbdSource>(address, options, clock);
    SP_TRY(source->connect(cancel));
    return source;
}

}  // namespace stillpoint::capture
