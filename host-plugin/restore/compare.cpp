#include <algorithm>

#include "chunk/zero.hpp"
#include "env/workers.hpp"
#include "restore/disk_cursor.hpp"
#include "restore/image_file.hpp"

namespace stillpoint::restore {
namespace {

constexpr unsigned workers = 2;
constexpr std::uint64_t sector_bytes = 512;  // images are rounded up to whole sectors

class Comparison {
public:
    Comparison(vault::Vault& vault, vault::DiskReader& reader, ImageFile& image,
               const Progress& progress, const env::CancelToken& cancel)
        : vault_(vault),
          reader_(reader),
          image_(image),
          stop_(cancel.child()),
          cursor_(reader, stop_),
          findings_(progress) {}

    Result<std::vector<DamagedRange>> run() {
        SP_TRY(env::run_workers(
            workers, [this] { return work(); }, [this] { stop_.cancel(); }));
        SP_TRY(compare_tail());
        return findings_.take();
    }

private:
    Status work() {
        Bytes buffer;
        while (true) {
            SP_ASSIGN(const auto run, cursor_.next());
            if (!run) return {};
            const Extent extent = extent_of(reader_, run->first, run->count);
            if (run->kind == vault::MapRun::Kind::damaged) findings_.damaged(extent, run->text);
            if (run->kind == vault::MapRun::Kind::zeros) SP_TRY(expect_zeros(extent, buffer));
            for (std::uint64_t n = 0; run->kind == vault::MapRun::Kind::data && n < run->count;
                 ++n) {
                SP_TRY(compare_block(BlockIndex{run->first.raw() + n}, buffer));
            }
            findings_.done(extent.length);
        }
    }

    Status compare_block(BlockIndex block, Bytes& buffer) {
        SP_TRY(stop_.check());
        const Extent extent = extent_of(reader_, block, 1);
        SP_ASSIGN(const auto id, reader_.id_at(block));
        if (!is_inside(extent)) {
            findings_.damaged(extent, "the file ends before");
            return {};
        }
        buffer.resize(extent.length.raw());
        SP_TRY(image_.read(extent.at, buffer));
        if (!id || vault_.id_of(buffer) != *id) findings_.damaged(extent, "differs");
        return {};
    }

    Status expect_zeros(const Extent& extent, Bytes& buffer) {
        const std::uint64_t file_end = image_.size().raw();
        const std::uint64_t end = extent.at.raw() + extent.length.raw();
        if (end > file_end) {
            const std::uint64_t from = std::max(extent.at.raw(), file_end);
            findings_.damaged({ByteOffset{from}, ByteCount{end - from}}, "the file ends before");
        }
        return find_data(extent.at.raw(), std::min(end, file_end), buffer);
    }

    // Reports what is not zero in [at, end), block by block of the disk.
    Status find_data(std::uint64_t at, std::uint64_t end, Bytes& buffer) {
        while (at < end) {
            SP_TRY(stop_.check());
            SP_ASSIGN(const auto data, image_.next_data(ByteOffset{at}, ByteOffset{end}));
            if (!data) return {};
            at = data->at.raw();
            const std::uint64_t stop = at + data->length.raw();
            while (at < stop) {
                const std::uint64_t step = reader_.chunk_bytes() - at % reader_.chunk_bytes();
                const std::uint64_t length = std::min(step, stop - at);
                buffer.resize(length);
                SP_TRY(image_.read(ByteOffset{at}, buffer));
                if (!chunk::is_zero(buffer)) {
                    findings_.damaged({ByteOffset{at}, ByteCount{length}}, "differs");
                }
                at += length;
            }
        }
        return {};
    }

    Status compare_tail() {
        const std::uint64_t disk_end = reader_.size().raw(), file_end = image_.size().raw();
        if (file_end <= disk_end) return {};
        Bytes buffer;
        if (file_end - disk_end < sector_bytes) return find_data(disk_end, file_end, buffer);
        findings_.damaged({ByteOffset{disk_end}, ByteCount{file_end - disk_end}},
                          "the file goes on after the disk's end");
        return {};
    }

    [[nodiscard]] bool is_inside(const Extent& extent) const {
        return extent.at.raw() + extent.length.raw() <= image_.size().raw();
    }

    vault::Vault& vault_;
    vault::DiskReader& reader_;
    ImageFile& image_;
    env::CancelToken stop_;
    DiskCursor cursor_;
    Findings findings_;
};

}  // namespace

Result<std::vector<DamagedRange>> compare_with_file(vault::Vault& vault,
                                                    const vault::DiskRoot& disk,
                                                    const env::Path& file, const Progress& progress,
                                                    const env::CancelToken& cancel) {
    SP_ASSIGN(const auto reader, vault.open_disk(disk));
    SP_ASSIGN(const auto image, open_image(file, workers, cancel));
    Comparison comparison{vault, *reader, *image, progress, cancel};
    auto result = comparison.run();
    if (!result) SP_TRY(cancel.check());  // a worker that was told to stop is not the reason
    return result;
}

}  // namespace stillpoint::restore
