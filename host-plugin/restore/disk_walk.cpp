#include "restore/disk_walk.hpp"

#include <algorithm>
#include <atomic>

#include "base/limits.hpp"
#include "env/page_buffer.hpp"
#include "env/workers.hpp"

namespace stillpoint::restore {
namespace {

class DiskWalk {
public:
    DiskWalk(vault::DiskReader& reader, vault::RootProof& proof, const WalkOptions& options,
             BlockSink& sink, const Progress& progress, const env::CancelToken& cancel)
        : reader_(reader),
          proof_(proof),
          options_(options),
          sink_(sink),
          stop_(cancel.child()),
          cursor_(reader, stop_),
          findings_(progress) {}

    Result<WalkResult> run() {
        SP_TRY(env::run_workers(
            options_.workers, [this] { return work(); }, [this] { stop_.cancel(); }));
        return WalkResult{findings_.take(), data_bytes_.load()};
    }

private:
    /// Neighbouring blocks on their way to the sink, in memory that a disk can take directly.
    class Batch {
    public:
        explicit Batch(std::size_t wanted_bytes)
            : wanted_bytes_(wanted_bytes),
              memory_(env::make_page_buffer(wanted_bytes + limits::chunk_bytes_max)) {}
        void append(ByteOffset at, ByteView bytes) {
            if (length_ == 0) at_ = at;
            std::copy(bytes.begin(), bytes.end(), memory_.get() + length_);
            length_ += bytes.size();
        }
        void clear() { length_ = 0; }
        [[nodiscard]] bool full() const { return length_ >= wanted_bytes_; }
        [[nodiscard]] ByteOffset at() const { return at_; }
        [[nodiscard]] ByteView bytes() const { return {memory_.get(), length_}; }

    private:
        std::size_t wanted_bytes_;
        env::PageBuffer memory_;
        ByteOffset at_;
        std::size_t length_ = 0;
    };

    Status work() {
        Batch batch{options_.write_bytes};
        while (true) {
            SP_ASSIGN(const auto run, cursor_.next());
            if (!run) return {};
            const Extent extent = extent_of(reader_, run->first, run->count);
            switch (run->kind) {
                case vault::MapRun::Kind::zeros:
                    SP_TRY(proof_.put_zeros(run->first, run->count));
                    break;
                case vault::MapRun::Kind::damaged:
                    findings_.damaged(extent, run->text);
                    break;
                case vault::MapRun::Kind::data:
                    SP_TRY(take(*run, batch));
                    break;
            }
            findings_.done(extent.length);
        }
    }

    Status take(const vault::MapRun& run, Batch& batch) {
        for (std::uint64_t n = 0; n < run.count; ++n) {
            SP_TRY(stop_.check());
            const BlockIndex block{run.first.raw() + n};
            const Extent extent = extent_of(reader_, block, 1);
            auto bytes = reader_.block(block);
            if (!bytes && bytes.error().code != Errc::corrupt) return fail(bytes.error());
            if (!bytes) {
                SP_TRY(hand_over(batch));
                findings_.damaged(extent, bytes.error().text);
                continue;
            }
            batch.append(extent.at, *bytes);
            SP_ASSIGN(const auto id, reader_.id_at(block));
            if (id) SP_TRY(proof_.put(block, *id));
            if (batch.full()) SP_TRY(hand_over(batch));
        }
        return hand_over(batch);
    }

    Status hand_over(Batch& batch) {
        const ByteView bytes = batch.bytes();
        if (bytes.empty()) return {};
        SP_TRY(sink_.write(batch.at(), bytes));
        data_bytes_ += bytes.size();
        batch.clear();
        return {};
    }

    vault::DiskReader& reader_;
    vault::RootProof& proof_;
    const WalkOptions& options_;
    BlockSink& sink_;
    env::CancelToken stop_;
    DiskCursor cursor_;
    Findings findings_;
    std::atomic<std::uint64_t> data_bytes_{0};
};

}  // namespace

Result<WalkResult> walk_disk(vault::Vault& vault, const vault::DiskRoot& disk,
                             const WalkOptions& options, BlockSink& sink, const Progress& progress,
                             const env::CancelToken& cancel) {
    SP_ASSIGN(const auto reader, vault.open_disk(disk));
    SP_ASSIGN(const auto proof, vault.prove(disk.size));
    DiskWalk walk{*reader, *proof, options, sink, progress, cancel};
    auto result = walk.run();
    if (!result) {
        SP_TRY(cancel.check());  // a worker that was told to stop is not the reason
        return result;
    }
    if (!result->damage.empty()) return result;
    SP_ASSIGN(const auto root, proof->finish());
    if (root != disk.root) {
        return fail(Errc::corrupt, "restore.unproven",
                    "disk " + disk.disk + ": what was read does not add up to its root");
    }
    return result;
}

}  // namespace stillpoint::restore
