#include "route/audit_sample.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

using namespace stillpoint;
using namespace stillpoint::route;

namespace {

constexpr std::uint64_t chunk_bytes = 65536;
constexpr std::uint64_t tib_blocks = (1ull << 40) / chunk_bytes;

env::RandomFn seeded(std::uint64_t seed) {
    return [generator = std::mt19937_64{seed}]() mutable { return generator(); };
}

/// A block map as a set of blocks, which counts how often it is asked.
class SparseMap final : public vault::DiskReader {
public:
    explicit SparseMap(std::uint64_t blocks) : blocks_(blocks) {}
    std::set<std::uint64_t> data;
    std::uint64_t damaged_from = ~0ull;
    std::uint64_t calls = 0;

    [[nodiscard]] ByteCount size() const override { return ByteCount{blocks_ * ::chunk_bytes}; }
    [[nodiscard]] std::uint32_t chunk_bytes() const override { return ::chunk_bytes; }
    Result<Bytes> block(BlockIndex) override { return Bytes{}; }
    Result<std::optional<BlockIndex>> next_data(BlockIndex from) override {
        ++calls;
        const auto found = data.lower_bound(from.raw());
        if (found == data.end()) return std::nullopt;
        return BlockIndex{*found};
    }
    Result<std::optional<chunk::ChunkId>> id_at(BlockIndex block) override {
        ++calls;
        if (block.raw() >= damaged_from) return fail(Errc::corrupt, "map.damaged", "damaged");
        if (!data.contains(block.raw())) return std::nullopt;
        return chunk::ChunkId{};
    }
    Result<vault::MapRun> run_at(BlockIndex from) override {
        return vault::MapRun{vault::MapRun::Kind::zeros, from, 1, {}};
    }

private:
    std::uint64_t blocks_;
};

CleanBlocks all_clean(const SparseMap& map) {
    return {{}, map.size(), ByteCount{chunk_bytes}};
}

std::size_t with_data(const Sample& sample) {
    return static_cast<std::size_t>(std::count_if(sample.blocks.begin(), sample.blocks.end(),
                                                  [](const auto& b) { return b.id.has_value(); }));
}

}  // namespace

TEST_CASE("route/audit_sample: clean blocks are numbered without gaps") {
    const ByteCount chunk{chunk_bytes};
    const extents::ExtentSet dirty{{ByteOffset{chunk_bytes}, chunk},
                                   {ByteOffset{4 * chunk_bytes}, chunk}};
    // Six whole blocks and a short one.
    const CleanBlocks clean{dirty, ByteCount{6 * chunk_bytes + 512}, chunk};
    REQUIRE(clean.count() == 5);
    std::vector<std::uint64_t> blocks;
    for (std::uint64_t n = 0; n < clean.count(); ++n) blocks.push_back(clean.at(n).raw());
    CHECK(blocks == std::vector<std::uint64_t>{0, 2, 3, 5, 6});
    for (std::uint64_t block = 0; block < 9; ++block) {
        const bool listed = std::find(blocks.begin(), blocks.end(), block) != blocks.end();
        CHECK(clean.contains(BlockIndex{block}) == listed);
    }
    CHECK(CleanBlocks{extents::whole(ByteCount{chunk_bytes}), ByteCount{chunk_bytes}, chunk}
              .count() == 0);
}

TEST_CASE("route/audit_sample: few clean blocks are taken all") {
    SparseMap map{40};
    map.data = {3, 4, 5};
    const auto sample = draw_sample(map, all_clean(map), 64, seeded(1));
    REQUIRE(sample);
    CHECK(sample->blocks.size() == 40);
    CHECK(with_data(*sample) == 3);
}

TEST_CASE("route/audit_sample: a sparse disk is audited where its data is, at bounded cost") {
    SparseMap map{16 * tib_blocks};
    std::mt19937_64 generator{7};
    std::size_t data_min = 48;
    SUBCASE("scattered") {
        while (map.data.size() < 512) map.data.insert(generator() % (16 * tib_blocks));
    }
    SUBCASE("in one piece at the end") {
        for (std::uint64_t n = 1; n <= 20'000; ++n) map.data.insert(16 * tib_blocks - n);
    }
    SUBCASE("a million pieces of one block: the sample is smaller, not the bound larger") {
        data_min = 4;
        for (std::uint64_t n = 0; n < 1'000'000; ++n) map.data.insert(n * 256 + generator() % 256);
    }
    const auto sample = draw_sample(map, all_clean(map), 64, seeded(2));
    REQUIRE(sample);
    CHECK(sample->blocks.size() == 64);
    CHECK(with_data(*sample) >= data_min);
    CHECK(with_data(*sample) < 64);  // zeros are looked at, too
    CHECK(map.calls < 20'000);
}

TEST_CASE("route/audit_sample: an empty disk is a sample of zeros") {
    SparseMap map{tib_blocks};
    const auto sample = draw_sample(map, all_clean(map), 64, seeded(3));
    REQUIRE(sample);
    CHECK(sample->blocks.size() == 64);
    CHECK(with_data(*sample) == 0);
}

// The probability in the report is only true when every block with data is as likely.
TEST_CASE("route/audit_sample: clustered and lonely data are drawn alike") {
    SparseMap map{tib_blocks};
    std::set<std::uint64_t> lonely;
    for (std::uint64_t n = 0; n < 200; ++n) map.data.insert(n);
    for (std::uint64_t n = 1; n <= 200; ++n) lonely.insert(n * 80'000);
    map.data.insert(lonely.begin(), lonely.end());
    std::uint64_t drawn = 0, drawn_lonely = 0;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        const auto sample = draw_sample(map, all_clean(map), 16, seeded(seed));
        REQUIRE(sample);
        for (const SampledBlock& block : sample->blocks) {
            if (!block.id) continue;
            ++drawn;
            drawn_lonely += lonely.contains(block.block.raw()) ? 1 : 0;
        }
    }
    REQUIRE(drawn > 2000);
    const double share = static_cast<double>(drawn_lonely) / static_cast<double>(drawn);
    CHECK(share > 0.46);  // four standard deviations below one half
    CHECK(share < 0.54);
}

TEST_CASE("route/audit_sample: what is dirty is never drawn") {
    SparseMap map{4096};
    for (std::uint64_t n = 0; n < 4096; ++n) map.data.insert(n);
    const extents::ExtentSet dirty{{ByteOffset{0}, ByteCount{3000 * chunk_bytes}}};
    const CleanBlocks clean{dirty, map.size(), ByteCount{chunk_bytes}};
    const auto sample = draw_sample(map, clean, 64, seeded(4));
    REQUIRE(sample);
    CHECK(sample->blocks.size() == 64);
    for (const SampledBlock& block : sample->blocks) CHECK(block.block.raw() >= 3000);
}

TEST_CASE("route/audit_sample: damage in the parent's map is counted, not an error") {
    SparseMap map{4096};
    for (std::uint64_t n = 0; n < 2048; ++n) map.data.insert(n);
    map.damaged_from = 2048;
    const auto sample = draw_sample(map, all_clean(map), 64, seeded(5));
    REQUIRE(sample);
    CHECK(sample->unreadable > 0);
    for (const SampledBlock& block : sample->blocks) CHECK(block.block.raw() < 2048);
}

TEST_CASE("route/audit_sample: numbers below a limit are even") {
    const auto random = seeded(6);
    std::array<int, 3> counts{};
    for (int n = 0; n < 30'000; ++n) ++counts.at(env::random_below(random, 3));
    for (const int count : counts) CHECK(std::abs(count - 10'000) < 500);
    // The part beyond the largest multiple is drawn again, not folded.
    int calls = 0;
    const env::RandomFn largest_first = [&calls] { return calls++ == 0 ? ~0ull : 5ull; };
    CHECK(env::random_below(largest_first, 10) == 5);
    CHECK(calls == 2);
}
