#include "sim/sim_source.hpp"

#include <algorithm>

namespace stillpoint::sim {
namespace {

constexpr std::uint64_t request_cells_most = 4 * chunk_cells;

class SimSource final : public capture::NbdSource {
public:
    SimSource(Stage& stage, capture::NbdAddress address)
        : stage_(stage), address_(std::move(address)), kills_(stage.machine.kills) {
        stage_.turns.join(address_.export_name);
    }
    SimSource(const SimSource&) = delete;
    SimSource& operator=(const SimSource&) = delete;
    ~SimSource() override { stage_.turns.leave(address_.export_name); }

    Status connect(const env::CancelToken& cancel) {
        if (!stage_.turns.wait(address_.export_name)) stage_.broken_rule("a disk's thread hangs");
        return answer(stage_.call("nbd.connect", [&]() -> Status {
            SP_TRY(cancel.check());
            SP_ASSIGN(const FrozenDisk* disk, view());
            size_ = ByteCount{disk->cells * cell_bytes};
            return {};
        }));
    }

    [[nodiscard]] ByteCount size() const override { return size_; }

    Result<capture::ReadPlan> plan(ByteCount chunk, std::optional<ByteCount> parent_size,
                                   const env::CancelToken& cancel) override {
        auto planned = stage_.call("nbd.plan", [&]() -> Result<capture::ReadPlan> {
            SP_TRY(cancel.check());
            SP_ASSIGN(const FrozenDisk* disk, view());
            capture::PlanInput input{.dirty = extents::whole(size_),
                                     .zero = zeros_of(*disk),
                                     .size = size_,
                                     .parent_size = parent_size,
                                     .chunk = chunk};
            if (!address_.dirty_context.empty()) {
                input.dirty = extents_of(disk->dirty, disk->grain_cells, disk->cells);
            }
            return capture::plan_reads(input);
        });
        if (!planned) stage_.quiet();
        return planned;
    }

    Status read(const extents::ExtentSet& what, unsigned, const Sink& sink,
                const env::CancelToken& cancel) override {
        for (const Extent& extent : what) {
            const std::uint64_t end = (extent.at.raw() + extent.length.raw()) / cell_bytes;
            for (std::uint64_t at = extent.at.raw() / cell_bytes; at < end;) {
                const std::uint64_t count = std::min(request_cells_most, end - at);
                SP_TRY(answer(read_one({at, count}, sink, cancel)));
                at += count;
            }
        }
        return {};
    }

private:
    /// The first error of a disk is where the others begin to end, whenever they see it.
    Status answer(Status status) {
        if (!status) stage_.quiet();
        return status;
    }

    Result<const FrozenDisk*> view() {
        Machine& machine = stage_.machine;
        if (!machine.session || machine.kills != kills_) {
            return fail(Errc::io, "capture.disconnected", "QEMU closed the connection");
        }
        const FrozenDisk* disk = machine.session->disk(address_.export_name);
        if (disk == nullptr) return fail(Errc::not_found, "capture.no_export", "no such export");
        return disk;
    }

    static extents::ExtentSet zeros_of(const FrozenDisk& disk) {
        std::vector<bool> zeros(disk.cells);
        for (std::uint64_t i = 0; i < disk.cells; ++i) zeros[i] = disk.at(i).zero;
        return extents_of(zeros, 1, disk.cells);
    }

    Status read_one(Stretch where, const Sink& sink, const env::CancelToken& cancel) {
        if (!stage_.turns.wait(address_.export_name)) stage_.broken_rule("a disk's thread hangs");
        Bytes bytes;
        SP_TRY(stage_.call("nbd.read", [&]() -> Status {
            SP_TRY(cancel.check());
            SP_ASSIGN(const FrozenDisk* disk, view());
            const Session& session = *stage_.machine.session;
            if (session.broken_reads_fail && !session.keeps_old_data) {
                return fail(Errc::refused, "snapshot.broken", "EINVAL");
            }
            Cells cells(where.count);
            for (std::uint64_t i = 0; i < where.count; ++i) {
                cells[i] = disk->at(where.first + i).tag;
            }
            bytes = expand(cells, 0, where.count);
            return {};
        }));
        return sink(ByteOffset{where.first * cell_bytes}, bytes);
    }

    Stage& stage_;
    capture::NbdAddress address_;
    std::uint64_t kills_;
    ByteCount size_;
};

}  // namespace

Result<std::unique_ptr<capture::NbdSource>> connect_view(Stage& stage,
                                                         const capture::NbdAddress& address,
                                                         const env::CancelToken& cancel) {
    auto source = std::make_unique<SimSource>(stage, address);
    SP_TRY(source->connect(cancel));
    return std::unique_ptr<capture::NbdSource>{std::move(source)};
}

}  // namespace stillpoint::sim
