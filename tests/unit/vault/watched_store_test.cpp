#include "vault/watched_store.hpp"

#include <doctest/doctest.h>

#include <future>

#include "chunk/hash.hpp"
#include "vault/chunk_run.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using namespace std::chrono_literals;
using test::TestVault;

namespace {

/// A store in memory whose calls hang, from `hang()` on until `answer()`. @threads any
class HangingStore final : public BlockStore {
public:
    struct Gate {
        MemoryStore memory;
        std::promise<void> opened;
        std::shared_future<void> open = opened.get_future().share();
        std::atomic<bool> closed{false};
        std::atomic<int> ended{0};  // calls that hung
        void pass() {
            if (!closed) return;
            open.wait();
        }
    };
    explicit HangingStore(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {}
    Status put(const std::string& name, ByteView bytes) override {
        const bool hangs = gate_->closed;
        gate_->pass();
        Status done = gate_->memory.put(name, bytes);
        gate_->ended += hangs ? 1 : 0;
        return done;
    }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        gate_->pass();
        return gate_->memory.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override {
        gate_->pass();
        return gate_->memory.size(name);
    }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        gate_->pass();
        return gate_->memory.list(prefix);
    }
    Status remove(const std::string& name) override {
        gate_->pass();
        return gate_->memory.remove(name);
    }
    [[nodiscard]] std::string describe() const override { return "hanging"; }

private:
    std::shared_ptr<Gate> gate_;
};

struct Watched {
    std::shared_ptr<HangingStore::Gate> gate = std::make_shared<HangingStore::Gate>();
    StoreWatch watch{.stall_max = 50ms, .cancel = {}};
    std::unique_ptr<BlockStore> store;

    explicit Watched(env::Nanoseconds stall = 50ms) {
        watch.stall_max = stall;
        auto opened = open();
        REQUIRE(opened);
        store = std::move(*opened);
    }
    Result<std::unique_ptr<BlockStore>> open() {
        return WatchedStore::open(
            "file:///vault",
            [gate = gate]() -> Result<std::unique_ptr<BlockStore>> {
                gate->pass();
                return std::unique_ptr<BlockStore>{std::make_unique<HangingStore>(gate)};
            },
            watch);
    }
    void hang() const { gate->closed = true; }
    void answer() const { gate->opened.set_value(); }
};

std::string id_of(const Status& status) {
    return status ? "" : status.error().id;
}

}  // namespace

TEST_CASE("vault/watched_store: a store that answers is the store itself") {
    Watched world{1h};
    const Bytes bytes = test::noise_block(1000, 1);
    REQUIRE(world.store->put("index/a", bytes));
    CHECK(id_of(world.store->put("index/a", bytes)) == "store.exists");
    CHECK(world.store->get("index/a", ByteOffset{0}, ByteCount{1000}).value() == bytes);
    CHECK(world.store->get_end("index/a", ByteCount{9}).value().size == ByteCount{1000});
    CHECK(world.store->size("index/a").value() == ByteCount{1000});
    CHECK(world.store->list("index/").value().size() == 1);
    REQUIRE(world.store->remove("index/a"));
    CHECK(world.store->describe() == "file:///vault");
}

TEST_CASE("vault/watched_store: every kind of call is given up, and names the store") {
    Watched world;
    world.hang();
    Status done;
    SUBCASE("put") {
        done = world.store->put("index/a", {});
    }
    SUBCASE("get") {
        const auto got = world.store->get("index/a", ByteOffset{0}, ByteCount{1});
        if (!got) done = fail(got.error());
    }
    SUBCASE("get_reusing") {
        const auto got = world.store->get_reusing("index/a", ByteOffset{0}, ByteCount{1}, Bytes(9));
        if (!got) done = fail(got.error());
    }
    SUBCASE("get_end") {
        const auto got = world.store->get_end("index/a", ByteCount{9});
        if (!got) done = fail(got.error());
    }
    SUBCASE("size") {
        const auto got = world.store->size("index/a");
        if (!got) done = fail(got.error());
    }
    SUBCASE("list") {
        const auto got = world.store->list("index/");
        if (!got) done = fail(got.error());
    }
    SUBCASE("remove") {
        done = world.store->remove("index/a");
    }
    SUBCASE("open") {
        const auto opened = world.open();
        if (!opened) done = fail(opened.error());
    }
    REQUIRE_FALSE(done);
    CHECK(done.error().id == "vault.store_stalled");
    CHECK(done.error().code == Errc::timeout);
    CHECK(done.error().text.find("file:///vault") != std::string::npos);
    world.answer();
}

TEST_CASE("vault/watched_store: after one stall nothing is waited for any more") {
    Watched world{200ms};
    world.hang();
    CHECK_FALSE(world.store->put("index/a", {}));
    const auto before = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; ++i) CHECK_FALSE(world.store->size("index/a"));
    CHECK(std::chrono::steady_clock::now() - before < 2s);
    world.answer();
}

TEST_CASE("vault/watched_store: a wish to stop ends the wait") {
    Watched world{1h};
    world.hang();
    world.watch.cancel.cancel();
    const Status done = world.store->put("index/a", {});
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Errc::cancelled);
    world.answer();
}

TEST_CASE("vault/watched_store: a run over a store that hangs ends, and leaves its bytes alone") {
    Watched world{100ms};
    const auto gate = world.gate;
    {
        TestVault vault{world.store.get()};
        const auto chunks = vault.chunks();
        auto run = ChunkRun::begin(*chunks, std::string(32, 'a'));
        REQUIRE(run);
        world.hang();
        Status done;
        for (std::uint64_t i = 0; i < 2000 && done; ++i) {  // 125 MiB: more than fits into memory
            const Bytes block = test::noise_block(64 << 10, i);
            const auto put = (*run)->put(vault.data_id(block), block, Content::data);
            if (!put) done = fail(put.error());
        }
        CHECK(id_of(done) == "vault.store_stalled");
        CHECK(id_of((*run)->flush()) == "vault.store_stalled");
    }
    world.store.reset();
    world.answer();
    // What was on its way comes late, and is what was given: the sanitizer watches the buffers.
    while (gate->ended < 1) std::this_thread::yield();
    const auto packs = gate->memory.list("packs/").value();
    REQUIRE_FALSE(packs.empty());
    const Bytes bytes = gate->memory.get(packs[0].name, ByteOffset{0}, packs[0].size).value();
    CHECK(packs[0].name.find(PackName::of(bytes).hex()) != std::string::npos);
}
