#pragma once
#include <algorithm>

#include "capture/capture.hpp"

namespace stillpoint::fakes {

/// A frozen view of bytes in memory, with what a dirty bitmap says about them.
class PlainDisk final : public capture::NbdSource {
public:
    /// @param content outlives the source; @param dirty whole(size) when no bitmap was asked for
    PlainDisk(const Bytes& content, extents::ExtentSet dirty)
        : content_(content), dirty_(std::move(dirty)) {}
    [[nodiscard]] ByteCount size() const override { return ByteCount{content_.size()}; }
    Result<capture::ReadPlan> plan(ByteCount chunk, std::optional<ByteCount> parent_size,
                                   const env::CancelToken&) override {
        return capture::plan_reads({.dirty = dirty_,
                                    .zero = zeros(chunk),
                                    .size = size(),
                                    .parent_size = parent_size,
                                    .chunk = chunk});
    }
    Status read(const extents::ExtentSet& what, unsigned, const Sink& sink,
                const env::CancelToken& cancel) override {
        for (const Extent& extent : what) {
            SP_TRY(cancel.check());
            SP_TRY(
                sink(extent.at, ByteView{content_}.subspan(extent.at.raw(), extent.length.raw())));
        }
        return {};
    }

private:
    [[nodiscard]] extents::ExtentSet zeros(ByteCount chunk) const {
        std::vector<Extent> found;
        for (std::uint64_t at = 0; at < content_.size(); at += chunk.raw()) {
            const auto block = ByteView{content_}.subspan(
                at, std::min<std::size_t>(chunk.raw(), content_.size() - at));
            const bool zero = std::all_of(block.begin(), block.end(),
                                          [](std::byte byte) { return byte == std::byte{0}; });
            if (zero) found.push_back({ByteOffset{at}, ByteCount{block.size()}});
        }
        return extents::normalize(std::move(found));
    }
    const Bytes& content_;
    extents::ExtentSet dirty_;
};

}  // namespace stillpoint::fakes
