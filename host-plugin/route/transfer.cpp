#include "route/transfer.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "route/namesakes.hpp"

namespace stillpoint::route {
namespace {

using serialization::DiskMode;

/// One disk on its way into the run.
class DiskRoute {
public:
    DiskRoute(const BackupServices& services, const DiskDecision& decision,
              const AuditOptions& audit, const env::CancelToken& cancel)
        : services_(services), decision_(decision), audit_(audit), cancel_(cancel) {
        result_.mode = decision.mode;
        result_.reason = decision.reason;
    }

    Result<DiskTransfer> carry(const hypervisor::DiskExport& source, vault::Run& run,
                               unsigned workers) {
        const ByteCount chunk{services_.vault.chunk_bytes()};
        SP_ASSIGN(auto nbd, connect(source));
        const ByteCount size = nbd->size();
        SP_ASSIGN(capture::ReadPlan plan, nbd->plan(chunk, tracked_size(), cancel_));
        SP_TRY(look_behind_tracking(*nbd, plan, workers));
        if (result_.mode != decision_.mode) {
            SP_ASSIGN(nbd, connect(source));
            SP_ASSIGN(plan, nbd->plan(chunk, tracked_size(), cancel_));
        }
        const auto parent = result_.mode == DiskMode::full ? std::nullopt : decision_.parent_root;
        SP_ASSIGN(auto writer, run.open_disk(decision_.disk.name, size, parent));
        total_ = plan.read_bytes().raw();
        SP_TRY(write_zeros(plan.zeros, chunk, *writer));
        tell();
        const auto sink = [&](ByteOffset at, ByteView bytes) {
            return write_chunks(at, bytes, chunk, *writer);
        };
        SP_TRY(nbd->read(plan.read, workers, sink, cancel_));
        SP_TRY(prove_view(*nbd, size, chunk));
        SP_ASSIGN(result_.root, writer->finish());
        tell();
        result_.read_bytes = done_.load();
        result_.counts = writer->counts();
        return std::move(result_);
    }

private:
    /// Only an increment believes the dirty bitmap; for others the export may have one, too.
    Result<std::unique_ptr<capture::NbdSource>> connect(const hypervisor::DiskExport& source) {
        const bool increment = result_.mode == DiskMode::increment;
        return services_.connect_nbd(
            {source.socket, source.export_name, increment ? source.dirty_context : std::string{}},
            cancel_);
    }

    /// The size that the dirty bitmap speaks about: what lies beyond is a grown tail.
    [[nodiscard]] std::optional<ByteCount> tracked_size() const {
        if (result_.mode != DiskMode::increment) return std::nullopt;
        return decision_.parent_root->size;
    }

    /// Looks behind an increment's back, which is none any more when tracking proves wrong.
    Status look_behind_tracking(capture::NbdSource& nbd, const capture::ReadPlan& plan,
                                unsigned workers) {
        const std::uint64_t chunks =
            audit_chunks(audit_, plan.read_bytes(), ByteCount{services_.vault.chunk_bytes()});
        const bool believed = chunks == 0 && decision_.namesakes.empty();
        if (result_.mode != DiskMode::increment || believed) return {};
        SP_ASSIGN(const auto parent, services_.vault.open_disk(*decision_.parent_root));
        const extents::ExtentSet dirty = extents::unite(plan.read, plan.zeros);
        const AuditTask task{.view = nbd,
                             .vault = services_.vault,
                             .parent = *parent,
                             .dirty = dirty,
                             .chunks = chunks,
                             .workers = workers};
        SP_ASSIGN(auto unmasked,
                  unmask(task, *decision_.parent_root, decision_.namesakes, cancel_));
        if (unmasked) {
            result_.mode = unmasked->mode;
            result_.reason = std::move(unmasked->reason);
            return {};
        }
        return chunks == 0 ? Status{} : audit(task);
    }

    Status audit(const AuditTask& task) {
        SP_ASSIGN(result_.audit, audit_clean_blocks(task, services_.random, cancel_));
        if (result_.audit->changed == 0) return {};
        result_.mode = DiskMode::compare;
        result_.reason =
            "the audit found change tracking wrong: " + std::to_string(result_.audit->changed) +
            " of " + std::to_string(result_.audit->chunks) +
            " chunks that it calls clean have changed";
        return {};
    }

    static Status write_zeros(const extents::ExtentSet& zeros, ByteCount chunk,
                              vault::DiskWriter& writer) {
        for (const Extent& extent : zeros) {
            const std::uint64_t first = extent.at.raw() / chunk.raw();
            const std::uint64_t last =
                (extent.at.raw() + extent.length.raw() + chunk.raw() - 1) / chunk.raw();
            SP_TRY(writer.put_zeros(BlockIndex{first}, last - first));
        }
        return {};
    }

    Status write_chunks(ByteOffset at, ByteView bytes, ByteCount chunk, vault::DiskWriter& writer) {
        const std::size_t length = bytes.size();
        std::uint64_t block = at.raw() / chunk.raw();
        while (!bytes.empty()) {
            const std::size_t step = std::min<std::size_t>(bytes.size(), chunk.raw());
            SP_TRY(writer.put(BlockIndex{block++}, bytes.first(step)));
            bytes = bytes.subspan(step);
        }
        if ((done_ += length) / progress_step_bytes !=
            (done_.load() - length) / progress_step_bytes) {
            tell();
        }
        return {};
    }

    /// The last read must be answered by the frozen view too, else what came before proves nothing.
    Status prove_view(capture::NbdSource& nbd, ByteCount size, ByteCount chunk) {
        if (size.raw() == 0) return {};
        const extents::ExtentSet probe{{ByteOffset{0}, std::min(size, chunk)}};
        return nbd.read(
            probe, 1, [](ByteOffset, ByteView) { return Status{}; }, cancel_);
    }

    void tell() {
        services_.reporter.progress({.phase = "transfer",
                                     .disk = decision_.disk.name,
                                     .done = done_.load(),
                                     .total = total_,
                                     .text = {}});
    }

    static constexpr std::uint64_t progress_step_bytes = 8u << 20;
    const BackupServices& services_;
    const DiskDecision& decision_;
    const AuditOptions& audit_;
    env::CancelToken cancel_;
    DiskTransfer result_;
    std::uint64_t total_ = 0;
    std::atomic<std::uint64_t> done_{0};
};

/// Collects the disks' results; the first failure stops the others.
class Outcome {
public:
    explicit Outcome(std::size_t disks) : results_(disks) {}
    void set(std::size_t index, Result<DiskTransfer> result, env::CancelToken& siblings) {
        const std::scoped_lock lock{mutex_};
        if (!result) {
            if (!first_error_) first_error_ = result.error();
            siblings.cancel();
            return;
        }
        results_[index] = std::move(*result);
    }
    Result<std::vector<DiskTransfer>> take() {
        if (first_error_) return fail(*first_error_);
        return std::move(results_);
    }

private:
    std::mutex mutex_;
    std::vector<DiskTransfer> results_;
    std::optional<Error> first_error_;
};

Result<DiskTransfer> transfer_disk(const BackupServices& services, const TransferPlan& plan,
                                   const DiskDecision& decision, vault::Run& run, unsigned workers,
                                   const env::CancelToken& cancel) {
    const std::string& name = decision.disk.name;
    const auto source = std::find_if(plan.exports.begin(), plan.exports.end(),
                                     [&](const auto& each) { return each.disk == name; });
    if (source == plan.exports.end()) {
        return fail(Errc::io, "snapshot.no_export", "disk " + name + " was not exported");
    }
    DiskRoute route{services, decision, plan.audit, cancel};
    auto result = route.carry(*source, run, workers);
    if (!result) return fail(in_step("disk " + name, result.error()));
    return result;
}

}  // namespace

Result<std::vector<DiskTransfer>> transfer_disks(const BackupServices& services,
                                                 const TransferPlan& plan, vault::Run& run,
                                                 const env::CancelToken& cancel) {
    const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
    const auto disks = static_cast<unsigned>(plan.disks.size());
    const unsigned workers = std::max(1u, cores / std::max(1u, disks));
    Outcome outcome{plan.disks.size()};
    env::CancelToken siblings = cancel.child();
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < plan.disks.size(); ++i) {
            threads.emplace_back([&, i] {
                outcome.set(i, transfer_disk(services, plan, plan.disks[i], run, workers, siblings),
                            siblings);
            });
        }
    }
    return outcome.take();
}

}  // namespace stillpoint::route
