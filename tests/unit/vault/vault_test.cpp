#include <doctest/doctest.h>

#include "support/vault_lab.hpp"
#include "vault/chunk_run.hpp"
#include "vault/map_writer.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::random_disk;
using test::VaultLab;

namespace {

constexpr std::size_t block = VaultLab::chunk_bytes;

void expect_whole(VaultLab& lab, CheckDepth depth = CheckDepth::read_data) {
    const auto result = lab.vault().check(depth, {}, {});
    REQUIRE(result);
    for (const DamageFound& found : result->damage) MESSAGE(found.text);
    CHECK(result->damage.empty());
}

}  // namespace

TEST_CASE("vault: what was backed up is read back, also after opening anew") {
    MemoryStore store;
    VaultLab lab{store};
    const std::vector<VaultLab::Disk> disks{{"vda", random_disk(100 * block, 1)},
                                            {"vdb", random_disk(7 * block + 512, 2)},
                                            {"empty", {}}};
    const Point point = lab.backup(disks).value();
    lab.reopen();
    const Point read = lab.vault().point(point.id).value();
    CHECK(read.vm_name == "vm");
    CHECK(read.disks == point.disks);
    CHECK(as_text(read.document) == "document");
    CHECK(read.object_bytes > 8);
    for (std::size_t at = 0; at < disks.size(); ++at) {
        CHECK(lab.read(read.disks[at]).value() == disks[at].content);
    }
    expect_whole(lab, CheckDepth::structure);
    expect_whole(lab);
}

TEST_CASE("vault: random increments, growth and shrinking equal a model disk") {
    MemoryStore store;
    VaultLab lab{store};
    std::mt19937_64 random{11};
    std::vector<VaultLab::Disk> now{{"vda", random_disk(70 * block, 3)}};
    Point parent = lab.backup(now).value();
    std::vector<std::pair<DiskRoot, Bytes>> history{{parent.disks[0], now[0].content}};
    for (int step = 0; step < 25; ++step) {
        const auto before = now;
        Bytes& disk = now[0].content;
        if (step % 3 == 1) disk.resize(random() % (140 * block));
        for (std::uint64_t writes = random() % 8; writes-- > 0 && disk.size() > 512;) {
            const std::size_t at = random() % (disk.size() - 512);
            std::fill_n(disk.begin() + static_cast<std::ptrdiff_t>(at),
                        std::min<std::size_t>(disk.size() - at, random() % (3 * block)),
                        static_cast<std::byte>(random() % 3));
        }
        if (step % 5 == 0) lab.reopen();
        parent = lab.backup(now, &parent, &before).value();
        history.emplace_back(parent.disks[0], disk);
        // The same content without any history has the same root.
        CHECK(lab.backup(now).value().disks[0].root == parent.disks[0].root);
    }
    for (const auto& [root, content] : history) REQUIRE(lab.read(root).value() == content);
    expect_whole(lab);
}

TEST_CASE("vault: a size that changes inside a block carries the block over") {
    MemoryStore store;
    VaultLab lab{store};
    for (const std::size_t old_size : {5 * block, 4 * block + 100, block / 2}) {
        for (const std::size_t new_size : {5 * block + 7, 4 * block + 50, 4 * block, block / 4}) {
            Bytes content(old_size, std::byte{7});
            const Point parent = lab.backup({{"vda", content}}).value();
            const auto run = lab.vault().begin_run(lab.new_id()).value();
            const auto writer = run->open_disk("vda", ByteCount{new_size}, parent.disks[0]).value();
            const DiskRoot root = writer->finish().value();
            REQUIRE(run->flush());
            content.resize(new_size);
            CHECK(lab.read(root).value() == content);
        }
    }
}

TEST_CASE("vault: counts say what was shipped and stored") {
    MemoryStore store;
    VaultLab lab{store};
    Bytes disk = random_disk(64 * block, 1);
    std::fill_n(disk.begin(), 8 * block, std::byte{0});
    const auto before = lab.backup({{"vda", disk}}).value();
    const auto run = lab.vault().begin_run(lab.new_id()).value();
    const std::uint64_t at_start = run->stored_total_bytes();
    const auto writer = run->open_disk("vda", ByteCount{disk.size()}, before.disks[0]).value();
    const Bytes fresh = random_disk(4 * block, 99), zeros(block);
    const ByteView same = ByteView{disk}.subspan(20 * block, block);
    REQUIRE(writer->put(BlockIndex{20}, same));  // the parent's own
    REQUIRE(writer->put(BlockIndex{0}, zeros));  // zero as before
    CHECK(writer->counts().shipped_bytes == 0);
    const Bytes unique(block, std::byte{0xa5});
    REQUIRE(writer->put(BlockIndex{1}, unique));  // new
    const std::uint64_t once = writer->counts().stored_bytes;
    CHECK(once > 0);
    REQUIRE(writer->put(BlockIndex{2}, unique));  // shipped, but known by now
    REQUIRE(writer->put_zeros(BlockIndex{30}, 20));
    CHECK(writer->counts().shipped_bytes == 2 * block);
    CHECK(writer->counts().stored_bytes == once);
    CHECK(writer->put(BlockIndex{64}, unique).error().id == "vault.block_range");
    CHECK(writer->put(BlockIndex{3}, ByteView{unique}.first(9)).error().id == "vault.block_length");
    CHECK(writer->put_zeros(BlockIndex{60}, 5).error().id == "vault.block_range");
    REQUIRE(writer->finish());
    REQUIRE(run->flush());
    CHECK(run->stored_total_bytes() > at_start + once);
}

TEST_CASE("vault: an empty increment adds a point and nothing else") {
    MemoryStore store;
    VaultLab lab{store};
    const std::vector<VaultLab::Disk> disks{{"vda", random_disk(200 * block, 1)}};
    const Point first = lab.backup(disks).value();
    const auto packs = store.list("packs/").value().size();
    const auto segments = store.list("index/").value().size();
    const Point second = lab.backup(disks, &first, &disks).value();
    CHECK(second.disks == first.disks);
    CHECK(store.list("packs/").value().size() == packs);
    CHECK(store.list("index/").value().size() == segments);
    CHECK(store.list("runs/").value().empty());
}

TEST_CASE("vault: a point appears last, once, and only of what is durable") {
    MemoryStore store;
    VaultLab lab{store};
    const PointId id = lab.new_id();
    const auto run = lab.vault().begin_run(id).value();
    const auto writer = run->open_disk("vda", ByteCount{block}, std::nullopt).value();
    REQUIRE(writer->put(BlockIndex{0}, Bytes(block, std::byte{1})));
    Point point{.id = id,
                .vm_name = "vm",
                .vm_uuid = {},
                .disks = {writer->finish().value()},
                .document = {}};
    CHECK(run->publish(point).error().id == "vault.not_flushed");
    CHECK(lab.vault().points().value().empty());
    REQUIRE(run->flush());
    Point other = point;
    other.id = lab.new_id();
    CHECK(run->publish(other).error().id == "point.invalid");
    Point wrong = point;
    wrong.disks[0].root.value[0] ^= std::byte{1};
    CHECK(run->publish(wrong).error().code == Errc::corrupt);
    wrong = point;
    wrong.disks[0].size = ByteCount{block + 1};
    CHECK(run->publish(wrong).error().id == "point.invalid");
    CHECK(lab.vault().points().value().empty());
    REQUIRE(run->publish(point));
    CHECK(lab.vault().points().value().size() == 1);
    CHECK(lab.vault().begin_run(id).has_value() == false);
}

TEST_CASE("vault: a run whose lease lapsed publishes nothing") {
    MemoryStore store;
    VaultLab lab{store};
    const PointId id = lab.new_id();
    const auto run = lab.vault().begin_run(id).value();
    const auto writer = run->open_disk("vda", ByteCount{block}, std::nullopt).value();
    const Point point{.id = id,
                      .vm_name = {},
                      .vm_uuid = {},
                      .disks = {writer->finish().value()},
                      .document = {}};
    REQUIRE(run->flush());
    lab.clock().pass(std::chrono::hours{3});
    CHECK(run->publish(point).error().id == "vault.lease_lapsed");
    CHECK(lab.vault().points().value().empty());
}

TEST_CASE("vault: disk names that no file could have are refused before the transfer") {
    MemoryStore store;
    VaultLab lab{store};
    const auto run = lab.vault().begin_run(lab.new_id()).value();
    for (const char* name : {"", ".", "..", "a/b", "a\nb"}) {
        CHECK(run->open_disk(name, ByteCount{1}, std::nullopt).error().id == "vault.disk_name");
    }
    CHECK(lab.vault().begin_run("../config").error().id == "point.invalid");
}

TEST_CASE("vault: points are listed oldest first; forgetting one leaves the others") {
    MemoryStore store;
    VaultLab lab{store};
    std::vector<Point> made;
    for (int i = 0; i < 3; ++i)
        made.push_back(lab.backup({{"vda", random_disk(9 * block, 4)}}).value());
    const auto listed = lab.vault().points().value();
    REQUIRE(listed.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(listed[i].id == made[i].id);
    REQUIRE(lab.vault().forget(made[1].id));
    CHECK(lab.vault().forget(made[1].id).error().id == "point.not_found");
    CHECK(lab.vault().point(made[1].id).error().id == "point.not_found");
    CHECK(lab.vault().forget("../config").error().id == "point.not_found");
    CHECK(lab.vault().points().value().size() == 2);
    CHECK(lab.read(made[2].disks[0]));
    const Stats stats = lab.vault().stats({}, {}).value();
    CHECK(stats.points == 2);
    CHECK(stats.logical_bytes == 2 * 9 * block);
    CHECK(stats.unique_bytes % block == 0);
    CHECK(stats.unique_bytes > 0);
    CHECK(stats.chunks == stats.unique_bytes / block);
    CHECK(stats.stored_bytes > stats.unique_bytes / 2);
}

TEST_CASE("vault: a point that another process published can be read at once") {
    MemoryStore store;
    VaultLab here{store};
    VaultLab there{store};
    const Bytes disk = random_disk(30 * block, 8);
    const Point point = there.backup({{"vda", disk}}).value();
    CHECK(here.vault().points().value().size() == 1);
    CHECK(here.read(point.disks[0]).value() == disk);
}

TEST_CASE("vault: a map written early for want of memory can be changed again in the same run") {
    MemoryStore store;
    VaultLab lab{store};
    const env::SystemClock clock;
    const auto core = unlock_vault(store, {}, clock).value();
    const auto chunks = StoredChunks::open(core).value();
    const auto run = ChunkRun::begin(*chunks, lab.new_id()).value();
    const auto node_id = [&](ByteView bytes) { return core->keys.node_ids().id_of(bytes); };
    const auto block_id = [&](std::uint64_t n) {
        return core->keys.data_ids().id_of(as_bytes(std::to_string(n)));
    };
    const auto shape = MapShape::make(ByteCount{5000 * block}, block, 64).value();
    NodeLoader tiny{*run, node_id, 2};  // nothing written is still at hand
    const auto scarce = MapWriter::open(tiny, shape, nullptr, {.units_max = 100}).value();
    NodeLoader nodes{*run, node_id};
    const auto ample = MapWriter::open(nodes, shape, nullptr).value();
    for (std::uint64_t n = 0; n < 1000; ++n) {
        const BlockIndex at{n * 37 % 5000};  // comes back to each leaf many times
        REQUIRE(scarce->put(at, block_id(n)));
        REQUIRE(ample->put(at, block_id(n)));
    }
    const auto root = scarce->finish();
    REQUIRE_MESSAGE(root, root.error().text);
    CHECK(*root == ample->finish().value());
}

TEST_CASE("vault: run_at covers a disk with runs of one kind") {
    MemoryStore store;
    VaultLab lab{store};
    const Bytes disk = random_disk(300 * block + 5, 21);
    const Point point = lab.backup({{"vda", disk}}).value();
    const auto reader = lab.vault().open_disk(point.disks[0]).value();
    std::uint64_t at = 0;
    while (at < 301) {
        const MapRun run = reader->run_at(BlockIndex{at}).value();
        REQUIRE(run.first.raw() == at);
        REQUIRE(run.count > 0);
        for (std::uint64_t i = at; i < at + run.count; ++i) {
            const bool zero = !reader->id_at(BlockIndex{i}).value();
            REQUIRE(run.kind == (zero ? MapRun::Kind::zeros : MapRun::Kind::data));
        }
        at += run.count;
    }
    CHECK(at == 301);
}
