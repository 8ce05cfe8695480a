#include <doctest/doctest.h>

#include "fakes/hook_store.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;

namespace {

constexpr std::size_t disk_bytes = 40 * VaultLab::chunk_bytes;

/// Blocks that are all different and not zero.
Bytes unique_disk(std::uint64_t seed, std::size_t bytes = disk_bytes) {
    std::mt19937_64 random{seed};
    Bytes disk(bytes);
    for (std::byte& byte : disk) byte = static_cast<std::byte>(random());
    return disk;
}

void replace_block(Bytes& disk, std::size_t block, std::uint64_t seed) {
    const Bytes fresh = unique_disk(seed, VaultLab::chunk_bytes);
    std::copy(fresh.begin(), fresh.end(),
              disk.begin() + static_cast<std::ptrdiff_t>(block * VaultLab::chunk_bytes));
}

GcResult collect(VaultLab& lab, GcOptions options = {}) {
    return lab.vault().collect(options, {}, {}).value();
}

std::size_t count(BlockStore& store, const std::string& prefix) {
    return store.list(prefix).value().size();
}

void check_clean(VaultLab& lab) {
    const auto found = lab.vault().check(CheckDepth::read_data, {}, {}).value();
    for (const auto& damage : found.damage) FAIL_CHECK(damage.text);
}

}  // namespace

TEST_CASE("vault/gc: what only a forgotten point needed is freed at once, the rest stays") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    const Bytes first = unique_disk(1);
    const Bytes second = unique_disk(2);
    const auto old_point = lab.backup({{"vda", first}}).value();
    const auto kept = lab.backup({{"vda", second}}).value();
    const std::size_t packs = count(store, "packs/");
    CHECK(collect(lab).freed_bytes == 0);
    CHECK(count(store, "packs/") == packs);
    REQUIRE(lab.vault().forget(old_point.id));
    const GcResult result = collect(lab);
    CHECK(result.freed_bytes > first.size());
    CHECK(result.waiting_bytes == 0);
    CHECK(result.points == 1);
    CHECK(count(store, "packs/") == packs / 2);
    CHECK(count(store, "condemned/") == 0);
    CHECK(count(store, "waits/") == 0);
    CHECK(count(store, "runs/") == 0);
    CHECK(count(store, "index/") == 1);
    CHECK(lab.read(kept.disks.at(0)).value() == second);
    check_clean(lab);
}

TEST_CASE("vault/gc: a vault without points is emptied") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    const auto point = lab.backup({{"vda", unique_disk(1)}}).value();
    REQUIRE(lab.vault().forget(point.id));
    CHECK(collect(lab).freed_packs == 2);
    CHECK(count(store, "packs/") == 0);
    CHECK(count(store, "index/") == 0);
    CHECK(lab.backup({{"vda", unique_disk(1)}}));
    check_clean(lab);
}

TEST_CASE("vault/gc: a plan changes nothing and says what would be freed") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    const auto point = lab.backup({{"vda", unique_disk(1)}}).value();
    REQUIRE(lab.vault().forget(point.id));
    const auto before = store.list("").value();
    const GcResult result = collect(lab, {.mode = GcMode::plan});
    CHECK(result.dead_bytes > disk_bytes);
    CHECK(result.freed_bytes == 0);
    const auto after = store.list("").value();
    REQUIRE(before.size() == after.size());
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(before[i].name == after[i].name);
}

TEST_CASE("vault/gc: a pack of which little is needed is emptied into another") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    Bytes disk = unique_disk(1);
    const std::vector<VaultLab::Disk> before{{"vda", disk}};
    const auto first = lab.backup(before).value();
    for (std::size_t block = 0; block < 36; ++block) replace_block(disk, block, 100 + block);
    const auto second = lab.backup({{"vda", disk}}, &first, &before).value();
    REQUIRE(lab.vault().forget(first.id));
    const auto reader = lab.vault().open_disk(second.disks.at(0)).value();  // knows the old packs
    const GcResult result = collect(lab);
    CHECK(result.sparse_packs == 1);
    CHECK(result.written_bytes > 4 * VaultLab::chunk_bytes);
    CHECK(result.freed_bytes > 40 * VaultLab::chunk_bytes);
    CHECK(lab.read(second.disks.at(0)).value() == disk);
    // A restore under way finds what moved.
    for (std::size_t block = 0; block < 40; ++block) CHECK(reader->block(BlockIndex{block}));
    check_clean(lab);
    CHECK(collect(lab).freed_bytes == 0);
}

TEST_CASE("vault/gc: what a running backup relies on waits for it, and is rescued by its point") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    const Bytes disk = unique_disk(1);
    const auto point = lab.backup({{"vda", disk}}).value();
    REQUIRE(lab.vault().forget(point.id));
    lab.clock().pass(std::chrono::hours{1});  // what is there is nobody's who works now
    VaultLab other{store};
    VaultLab::join_time(other, lab);
    Point next{.id = lab.new_id(), .vm_name = "vm", .vm_uuid = "", .disks = {}, .document = {}};
    const auto run = other.vault().begin_run(next.id).value();
    const GcResult waiting = collect(lab);
    CHECK(waiting.freed_bytes == 0);
    CHECK(waiting.waiting_for == std::set<std::string>{next.id});
    CHECK(waiting.waiting_bytes > disk.size());
    // All of its blocks are known, and in condemned packs.
    const auto writer = run->open_disk("vda", ByteCount{disk.size()}, std::nullopt).value();
    REQUIRE(other.ship(*writer, nullptr, disk));
    next.disks.push_back(writer->finish().value());
    REQUIRE(run->flush());
    REQUIRE(run->publish(next));
    const GcResult rescued = collect(lab);
    CHECK(rescued.rescued_packs > 0);
    CHECK(count(store, "condemned/") == 0);
    lab.reopen();
    CHECK(lab.read(next.disks.at(0)).value() == disk);
    check_clean(lab);
}

TEST_CASE("vault/gc: a parent that is forgotten during an increment stays whole for it") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    Bytes disk = unique_disk(1);
    const auto parent = lab.backup({{"vda", disk}}).value();
    lab.clock().pass(std::chrono::hours{1});  // what is there is nobody's who works now
    VaultLab other{store};
    VaultLab::join_time(other, lab);
    Point next{.id = lab.new_id(), .vm_name = "vm", .vm_uuid = "", .disks = {}, .document = {}};
    const auto run = other.vault().begin_run(next.id).value();
    const auto writer = run->open_disk("vda", ByteCount{disk.size()}, parent.disks.at(0)).value();
    REQUIRE(lab.vault().forget(parent.id));
    (void)collect(lab);
    replace_block(disk, 3, 77);
    REQUIRE(writer->put(BlockIndex{3},
                        ByteView{disk}.subspan(3 * VaultLab::chunk_bytes, VaultLab::chunk_bytes)));
    next.disks.push_back(writer->finish().value());
    REQUIRE(run->flush());
    REQUIRE(run->publish(next));
    (void)collect(lab);
    lab.reopen();
    CHECK(lab.read(next.disks.at(0)).value() == disk);
    check_clean(lab);
}

TEST_CASE("vault/gc: a run that slept past its lease while gc took it for dead cannot publish") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    const Bytes disk = unique_disk(1);
    const auto point = lab.backup({{"vda", disk}}).value();
    REQUIRE(lab.vault().forget(point.id));
    // Just before its point is put the other process stops for two hours.
    fakes::HookStore stalling{
        store, [](const std::string& call) { return call.starts_with("put points"); },
        [&] {
            CHECK(collect(lab).waiting_bytes > 0);
            lab.clock().pass(std::chrono::hours{2});
            CHECK(collect(lab).freed_bytes > disk.size());
        }};
    lab.clock().pass(std::chrono::hours{1});
    VaultLab other{stalling};
    VaultLab::join_time(other, lab);
    const auto published = other.backup({{"vda", disk}});
    CHECK(stalling.struck());
    REQUIRE_FALSE(published);
    CHECK(published.error().id == "vault.run_fenced");
    CHECK(lab.vault().points().value().empty());
    check_clean(lab);
    // The fence is no point: it cannot be shown or forgotten, and goes after a month.
    CHECK(count(store, "points/") == 1);
    const std::string fenced = store.list("points/").value().at(0).name.substr(7);
    CHECK(lab.vault().forget(fenced).error().id == "point.not_found");
    CHECK(lab.vault().point(fenced).error().code == Errc::not_found);
}

TEST_CASE("vault/gc: one at a time, and one that died holds nobody up for long") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    const auto point = lab.backup({{"vda", unique_disk(1)}}).value();
    REQUIRE(lab.vault().forget(point.id));
    Result<GcResult> inner = fail(Errc::io, "test", "not run");
    fakes::HookStore store_of_first{store,
                                    [](const std::string& call) { return call == "list points/"; },
                                    [&] { inner = lab.vault().collect({}, {}, {}); }};
    VaultLab first{store_of_first};
    VaultLab::join_time(first, lab);
    CHECK(collect(first).freed_packs == 2);
    REQUIRE_FALSE(inner);
    CHECK(inner.error().id == "gc.running");
    check_clean(lab);
}

TEST_CASE("vault/gc: while anything is damaged nothing is deleted") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    const auto lost = lab.backup({{"vda", unique_disk(1)}}).value();
    const auto point = lab.backup({{"vda", unique_disk(2)}}).value();
    REQUIRE(lab.vault().forget(lost.id));
    const std::string object = "points/" + point.id;
    const Bytes bytes = store.get(object, ByteOffset{0}, store.size(object).value()).value();
    Bytes bad = bytes;
    bad[60] ^= std::byte{1};
    const std::size_t packs = count(store, "packs/");
    REQUIRE(store.remove(object));
    REQUIRE(store.put(object, bad));
    CHECK(lab.vault().collect({}, {}, {}).error().id == "gc.damage");
    CHECK(count(store, "packs/") == packs);
    REQUIRE(store.remove(object));
    REQUIRE(store.put(object, bytes));
    CHECK(collect(lab).freed_bytes > 0);
    CHECK(lab.read(point.disks.at(0)));
}

namespace {

/// Puts of points fail, and their bytes may arrive later all the same.
class LateStore final : public BlockStore {
public:
    explicit LateStore(BlockStore& below) : below_(below) {}
    Status put(const std::string& name, ByteView bytes) override {
        if (!name.starts_with("points/")) return below_.put(name, bytes);
        late_ = {name, to_bytes(bytes)};
        return fail(Errc::io, "test.no_answer", "no answer");
    }
    Status arrive() { return below_.put(late_.first, late_.second); }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        return below_.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override { return below_.size(name); }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        return below_.list(prefix);
    }
    Status remove(const std::string& name) override { return below_.remove(name); }
    [[nodiscard]] std::string describe() const override { return below_.describe(); }

private:
    BlockStore& below_;
    std::pair<std::string, Bytes> late_;
};

}  // namespace

TEST_CASE("vault/gc: a point whose put failed cannot appear once gc took its run for dead") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    LateStore late{store};
    {
        VaultLab other{late};
        VaultLab::join_time(other, lab);
        CHECK(other.backup({{"vda", unique_disk(1)}}).error().id == "test.no_answer");
    }
    CHECK(count(store, "runs/") == 1);  // gc must wait for it
    CHECK(collect(lab).freed_packs == 0);
    lab.clock().pass(std::chrono::hours{2});
    CHECK(collect(lab).freed_packs == 2);
    CHECK(late.arrive().error().id == "store.exists");
    check_clean(lab);
}

TEST_CASE("vault/gc: a point that is being forgotten is whole for who still found it") {
    MemoryStore store;
    VaultLab lab{store};
    store.keep_times(lab.clock());
    Bytes disk = unique_disk(1);
    const auto first = lab.backup({{"vda", disk}}).value();
    REQUIRE(lab.vault().forget(first.id));
    lab.clock().pass(std::chrono::hours{1});
    // Its packs are condemned while a run that knows nothing of it builds on them.
    VaultLab second{store};
    VaultLab::join_time(second, lab);
    Point parent{.id = lab.new_id(), .vm_name = "vm", .vm_uuid = "", .disks = {}, .document = {}};
    {
        const auto run = second.vault().begin_run(parent.id).value();
        CHECK(collect(lab).waiting_bytes > disk.size());
        const auto writer = run->open_disk("vda", ByteCount{disk.size()}, std::nullopt).value();
        REQUIRE(second.ship(*writer, nullptr, disk));
        parent.disks.push_back(writer->finish().value());
        REQUIRE(run->flush());
        REQUIRE(run->publish(parent));
    }
    // Between the copy and the end of the point a gc looks at the runs; then one begins and finds
    // the point; then the point ends.
    VaultLab third{store};
    VaultLab::join_time(third, lab);
    Point next{.id = lab.new_id(), .vm_name = "vm", .vm_uuid = "", .disks = {}, .document = {}};
    std::unique_ptr<Run> run;
    fakes::HookStore in_gc{store, [](const std::string& call) { return call == "list packs/"; },
                           [&] {
                               run = third.vault().begin_run(next.id).value();
                               REQUIRE(third.vault().point(parent.id));
                               REQUIRE(store.remove("points/" + parent.id));
                           }};
    fakes::HookStore in_forget{
        store, [&](const std::string& call) { return call == "remove points/" + parent.id; },
        [&] { REQUIRE(open_vault(in_gc, {}, lab.clock()).value()->collect({}, {}, {})); }};
    REQUIRE(open_vault(in_forget, {}, lab.clock()).value()->forget(parent.id));
    REQUIRE(in_gc.struck());
    const auto writer = run->open_disk("vda", ByteCount{disk.size()}, parent.disks.at(0)).value();
    replace_block(disk, 3, 99);
    REQUIRE(writer->put(BlockIndex{3},
                        ByteView{disk}.subspan(3 * VaultLab::chunk_bytes, VaultLab::chunk_bytes)));
    next.disks.push_back(writer->finish().value());
    REQUIRE(run->flush());
    REQUIRE(run->publish(next));
    lab.reopen();
    CHECK(lab.read(next.disks.at(0)).value() == disk);
    check_clean(lab);
}
