// Blocks that are stored as the difference from their version before.
#include <doctest/doctest.h>

#include <algorithm>

#include "vault/chunk_run.hpp"
#include "vault/marks.hpp"
#include "vault/sealed_object.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::TestVault;

namespace {

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t whole = (64 << 10) + 16;

/// A block of noise of which a page or more were written anew.
Bytes version(std::uint64_t number, std::size_t pages = 1) {
    Bytes block = test::noise_block(64 << 10, 1);
    if (number == 0) return block;
    const Bytes fresh = test::noise_block(pages * page, 100 + number);
    std::copy(fresh.begin(), fresh.end(), block.begin());
    return block;
}

struct Blocks {
    std::uint64_t put(ChunkRun& run, const Bytes& block) const {
        return run.put(vault.data_id(block), block, Content::data).value().stored_bytes;
    }
    std::uint64_t put_after(ChunkRun& run, const Bytes& before, const Bytes& block) const {
        return run.put_after(vault.data_id(before), vault.data_id(block), block, Content::data)
            .value()
            .stored_bytes;
    }
    Bytes read(const Bytes& block) const {
        return vault.chunks()->get(vault.data_id(block), Content::data).value();
    }
    /// The first version and what others build on.
    explicit Blocks(BlockStore* store = nullptr) : vault(store) {
        const auto chunks = vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run0").value();
        put(*run, version(0));
        REQUIRE(run->flush());
        base_pack = chunks->locate(vault.data_id(version(0))).value().pack;
    }
    TestVault vault;
    PackName base_pack;
};

}  // namespace

TEST_CASE("vault/data_delta: a page costs a page, each version is read alone, depth is one") {
    Blocks blocks;
    for (std::uint64_t number = 1; number <= 3; ++number) {
        const auto chunks = blocks.vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run" + std::to_string(number)).value();
        const std::uint64_t stored = blocks.put_after(*run, version(number - 1), version(number));
        CHECK(stored > page);
        CHECK(stored < page + 200);
        REQUIRE(run->flush());
    }
    const auto chunks = blocks.vault.chunks();
    for (std::uint64_t number = 0; number <= 3; ++number) {
        CHECK(blocks.read(version(number)) == version(number));
    }
    const auto place = chunks->locate(blocks.vault.data_id(version(3))).value();
    CHECK(place.base == blocks.vault.data_id(version(0)));
    CHECK(place.entry.plain_bytes == 64 << 10);
}

TEST_CASE("vault/data_delta: what saves less than half of the base is stored whole") {
    Blocks blocks;
    const auto chunks = blocks.vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "run1").value();
    CHECK(blocks.put_after(*run, version(0), version(1, 7)) < whole / 2);
    CHECK(blocks.put_after(*run, version(0), version(2, 8)) == whole);
    // What this run has not indexed yet is nothing to build on.
    CHECK(blocks.put_after(*run, version(2, 8), version(3, 8)) == whole);
    const Bytes text = test::text_block(64 << 10), text_after = test::text_block(64 << 10, 8);
    CHECK(blocks.put_after(*run, text, text_after) < whole / 2);
    REQUIRE(run->flush());
    for (const Bytes& block : {version(1, 7), version(2, 8), version(3, 8), text_after}) {
        CHECK(blocks.read(block) == block);
    }
}

TEST_CASE("vault/data_delta: not where it is switched off, nor without zstd") {
    for (int kind = 0; kind < 3; ++kind) {
        Blocks blocks;
        if (kind == 0) blocks.vault.core->data_deltas = DataDeltas::never;
        if (kind == 1) blocks.vault.core->config.compression = Compression::none;
        if (kind == 2) blocks.vault.core->config.compression = Compression::lz4;
        const auto chunks = blocks.vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run1").value();
        CHECK(blocks.put_after(*run, version(0), version(1)) == whole);
    }
}

namespace {

/// Answers as an object store does: each call is a round trip.
class FarStore final : public BlockStore {
public:
    Status put(const std::string& name, ByteView bytes) override {
        return memory_.put(name, bytes);
    }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        return memory_.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override { return memory_.size(name); }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        return memory_.list(prefix);
    }
    Status remove(const std::string& name) override { return memory_.remove(name); }
    [[nodiscard]] std::string describe() const override { return "far"; }
    [[nodiscard]] unsigned calls_at_once() const override { return 8; }

private:
    MemoryStore memory_;
};

}  // namespace

TEST_CASE("vault/data_delta: not where reading the base would be a round trip") {
    FarStore store;
    Blocks blocks{&store};
    const auto chunks = blocks.vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "run1").value();
    CHECK(blocks.put_after(*run, version(0), version(1)) == whole);
}

TEST_CASE("vault/data_delta: where it seldom works it is seldom tried, and tried again") {
    DeltaOdds odds;
    for (int i = 0; i < 31; ++i) odds.tell(false);
    CHECK(odds.worth_trying());
    odds.tell(false);
    int tried = 0;
    for (int i = 0; i < 160; ++i) tried += odds.worth_trying() ? 1 : 0;
    CHECK(tried == 10);
    odds.tell(true);
    CHECK(odds.worth_trying());
}

TEST_CASE("vault/data_delta: a base that is condemned, damaged or gone is nothing to build on") {
    for (int kind = 0; kind < 3; ++kind) {
        CAPTURE(kind);
        Blocks blocks;
        const std::string object = blocks.base_pack.object();
        if (kind == 0) {
            const Bytes mark = encode_mark({blocks.base_pack});
            REQUIRE(put_object(*blocks.vault.core, ObjectKind::condemned, "condemned/a", mark));
        } else {
            const ByteCount size = blocks.vault.store.size(object).value();
            Bytes bytes = blocks.vault.store.get(object, ByteOffset{0}, size).value();
            bytes[5000] ^= std::byte{1};
            REQUIRE(blocks.vault.store.remove(object));
            if (kind == 1) REQUIRE(blocks.vault.store.put(object, bytes));
        }
        const auto chunks = blocks.vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run1").value();
        CHECK(blocks.put_after(*run, version(0), version(1)) == whole);
        REQUIRE(run->flush());
        CHECK(blocks.read(version(1)) == version(1));
    }
}

TEST_CASE("vault/data_delta: a base that is not what its id says is nothing to build on") {
    Blocks blocks;
    const Bytes named = version(1), held = version(2);
    {
        const auto chunks = blocks.vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run1").value();
        REQUIRE(run->put(blocks.vault.data_id(named), held, Content::data));
        REQUIRE(run->flush());
    }
    const auto chunks = blocks.vault.chunks();
    const auto run = ChunkRun::begin(*chunks, "run2").value();
    CHECK(blocks.put_after(*run, named, version(3)) == whole);
}

TEST_CASE("vault/data_delta: a delta whose base is lost is damage, and is stored again") {
    Blocks blocks;
    {
        const auto chunks = blocks.vault.chunks();
        const auto run = ChunkRun::begin(*chunks, "run1").value();
        blocks.put_after(*run, version(0), version(1));
        REQUIRE(run->flush());
    }
    REQUIRE(blocks.vault.store.remove(blocks.base_pack.object()));
    const auto chunks = blocks.vault.chunks();
    const auto id = blocks.vault.data_id(version(1));
    CHECK(chunks->get(id, Content::data).error().code == Errc::corrupt);
    CHECK(chunks->locate(id).error().code == Errc::corrupt);
    const auto run = ChunkRun::begin(*chunks, "run2").value();
    CHECK(blocks.put(*run, version(1)) == whole);
    REQUIRE(run->flush());
    CHECK(blocks.read(version(1)) == version(1));
}
