// Recovery points whose maps are stored as differences, against a model: chains, forks, several
// hosts, forget, gc with and without emptying packs, and an index rebuilt from packs alone.
#include <doctest/doctest.h>

#include <cstdlib>
#include <map>

#include "support/pack_frame.hpp"
#include "support/vault_lab.hpp"
#include "vault/sealed_object.hpp"
#include "vault/stored_chunks.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::LabClock;

namespace {

constexpr std::uint32_t block_bytes = 16u << 10;
constexpr std::uint32_t fan_out = 16;

bool is_long() {
    const char* length = std::getenv("STILLPOINT_TEST_LENGTH");
    return length != nullptr && std::string_view{length} == "long";
}

/// What a disk holds: a number for each block that is not zero.
struct Model {
    std::uint64_t blocks = 0;
    std::map<std::uint64_t, std::uint32_t> data;
};

constexpr std::uint32_t versions = 64;

/// Blocks of one family are alike: versions differ in one page of 4 KiB.
Bytes content_of(std::uint32_t number) {
    Bytes block(block_bytes);
    std::mt19937_64 random{number / versions};
    for (std::size_t at = 0; at < block.size(); at += 32) {  // not quite incompressible
        const std::uint64_t word = random();
        std::memcpy(block.data() + at, &word, sizeof word);
    }
    const std::size_t page = number % 3 * 4096;
    std::fill_n(block.begin() + static_cast<std::ptrdiff_t>(page), 100,
                static_cast<std::byte>(1 + number % versions));
    return block;
}

/// A process with the vault open; several may be at work on one store.
struct Host {
    Host(BlockStore& store, const env::Clock& clock)
        : core(unlock_vault(store, {}, clock).value()) {
        core->config.map_fan_out = fan_out;  // deep trees of small nodes
        vault = OpenedVault::open(core).value();
    }
    std::shared_ptr<VaultCore> core;
    std::unique_ptr<Vault> vault;
};

struct Published {
    Point point;
    Model model;
};

/// A backup between its begin and its end.
struct Backup {
    Host& host;
    Point point;
    Model model;
    std::unique_ptr<Run> run;
    std::unique_ptr<DiskWriter> writer;
};

class World {
public:
    explicit World(std::uint64_t seed) : random_(seed) {
        InitOptions options;
        options.encryption = Encryption::none;
        options.chunk_bytes = block_bytes;
        REQUIRE(init_vault(store_, options, {}));
        store_.keep_times(clock_);
        for (int i = 0; i < 2; ++i) hosts_.push_back(std::make_unique<Host>(store_, clock_));
        Model model{5000, {}};
        for (std::uint64_t at = 0; at < 700; ++at) model.data[at] = fresh();
        for (std::uint64_t at = 3000; at < 5000; at += 61) model.data[at] = fresh();
        publish(begin(nullptr, std::move(model)));
    }
    void step();
    void settle();
    void check_all();
    /// Records that were deltas at the end, of map nodes and of data.
    [[nodiscard]] std::uint64_t deltas_seen(Content content) const {
        return content == Content::map ? map_deltas_ : data_deltas_;
    }

private:
    std::uint32_t fresh() { return last_ += versions; }
    std::uint64_t pick(std::uint64_t below) { return random_() % below; }
    Host& any_host() { return *hosts_[pick(hosts_.size())]; }
    Published& any_point() { return points_[pick(points_.size())]; }
    void mutate(Model& model);
    Backup begin(const Published* parent, Model now);
    void publish(Backup backup);
    void twins();
    void forget();
    void collect();
    void rebuild_index();
    void check(const Published& published);

    std::mt19937_64 random_;
    LabClock clock_;
    MemoryStore store_;
    std::vector<std::unique_ptr<Host>> hosts_;
    std::vector<Published> points_;
    std::uint32_t last_ = 0;
    std::uint64_t map_deltas_ = 0, data_deltas_ = 0;
};

void World::mutate(Model& model) {
    if (pick(6) == 0) {
        model.blocks = 3500 + pick(2500);
        model.data.erase(model.data.lower_bound(model.blocks), model.data.end());
    }
    for (std::uint64_t count = pick(12); count-- > 0;) {
        const std::uint64_t at = pick(2) == 0 ? pick(700) : pick(model.blocks);
        if (pick(5) == 0) {
            model.data.erase(at);
        } else {
            const auto before = model.data.find(at);
            const bool page_alone = before != model.data.end() && pick(3) != 0;
            model.data[at] = page_alone ? before->second / versions * versions +
                                              static_cast<std::uint32_t>(pick(versions))
                             : pick(4) == 0 ? 1 + static_cast<std::uint32_t>(pick(last_))
                                            : fresh();
        }
    }
}

/// Ships what differs from the parent; all of it without one.
Backup World::begin(const Published* parent, Model now) {
    Host& host = any_host();
    clock_.pass(std::chrono::milliseconds{2});
    Backup backup{host, {env::uuid7(clock_), "vm", "", {}, {}, 0, false}, std::move(now), {}, {}};
    backup.run = host.vault->begin_run(backup.point.id).value();
    std::optional<DiskRoot> root;
    if (parent != nullptr) root = parent->point.disks.at(0);
    const Model& model = backup.model;
    backup.writer =
        backup.run->open_disk("vda", ByteCount{model.blocks * block_bytes}, root).value();
    for (const auto& [at, number] : model.data) {
        const auto before = parent == nullptr ? model.data.end() : parent->model.data.find(at);
        const bool same =
            parent != nullptr && before != parent->model.data.end() && before->second == number;
        if (!same) REQUIRE(backup.writer->put(BlockIndex{at}, content_of(number)));
    }
    if (parent == nullptr) return backup;
    for (const auto& [at, number] : parent->model.data) {
        if (at >= model.blocks || model.data.contains(at)) continue;
        REQUIRE(backup.writer->put_zeros(BlockIndex{at}, 1));
    }
    return backup;
}

void World::publish(Backup backup) {
    backup.point.disks.push_back(backup.writer->finish().value());
    REQUIRE(backup.run->flush());
    REQUIRE(backup.run->publish(backup.point));
    points_.push_back({std::move(backup.point), std::move(backup.model)});
    check(points_.back());
}

/// The same content from different parents by two hosts at once: nodes get copies that are deltas
/// of different bases, or whole.
void World::twins() {
    Model model = any_point().model;
    mutate(model);
    const Published parent = any_point();
    Backup one = begin(pick(2) == 0 ? &parent : nullptr, model);
    Backup other = begin(&any_point(), model);
    if (pick(2) == 0) collect();
    publish(std::move(other));
    publish(std::move(one));
    CHECK(points_.back().point.disks == points_[points_.size() - 2].point.disks);
}

void World::forget() {
    if (points_.size() < 2) return;
    const std::size_t at = pick(points_.size());
    REQUIRE(any_host().vault->forget(points_[at].point.id));
    points_.erase(points_.begin() + static_cast<std::ptrdiff_t>(at));
}

void World::collect() {
    const GcOptions options{.repack_below_percent = pick(2) == 0 ? 50u : 100u};
    REQUIRE(any_host().vault->collect(options, {}, {}));
}

void World::rebuild_index() {
    const auto segments = store_.list("index/").value();
    for (const ObjectInfo& object : segments) REQUIRE(store_.remove(object.name));
    for (auto& host : hosts_) host = std::make_unique<Host>(store_, clock_);
    REQUIRE(any_host().vault->repair({}, {}, {}));
    for (auto& host : hosts_) host = std::make_unique<Host>(store_, clock_);
}

/// Through the map alone, and the root made anew from what it says.
void World::check(const Published& published) {
    Host& host = any_host();
    const DiskRoot& root = published.point.disks.at(0);
    const auto reader = host.vault->open_disk(root).value();
    const auto proof = host.vault->prove(root.size).value();
    std::uint64_t next = 0;
    for (const auto& [at, number] : published.model.data) {
        REQUIRE(reader->next_data(BlockIndex{next}).value() == BlockIndex{at});
        const auto id = reader->id_at(BlockIndex{at}).value();
        REQUIRE(id == host.vault->id_of(content_of(number)));
        REQUIRE(proof->put_zeros(BlockIndex{next}, at - next));
        REQUIRE(proof->put(BlockIndex{at}, *id));
        if (pick(20) == 0) CHECK(reader->block(BlockIndex{at}).value() == content_of(number));
        next = at + 1;
    }
    CHECK_FALSE(reader->next_data(BlockIndex{next}).value());
    REQUIRE(proof->put_zeros(BlockIndex{next}, published.model.blocks - next));
    CHECK(proof->finish().value() == root.root);
}

void World::check_all() {
    for (const Published& published : points_) check(published);
    Host fresh{store_, clock_};
    const auto found = fresh.vault->check(CheckDepth::read_data, {}, {}).value();
    for (const auto& damage : found.damage) FAIL_CHECK(damage.text);
    for (const Published& published : points_) {
        CHECK(fresh.vault->open_disk(published.point.disks.at(0)));
    }
    const auto chunks = StoredChunks::open(fresh.core).value();
    const auto packs = chunks->packs().value();
    for (const PackName& pack : packs) {
        const auto directory = chunks->directory(pack).value();
        (directory->content == Content::map ? map_deltas_ : data_deltas_) +=
            directory->bases.size();
    }
}

void World::step() {
    switch (pick(8)) {
        case 0:
            return forget();
        case 1:
            forget();
            return collect();
        case 2:
            return twins();
        case 3:
            clock_.pass(std::chrono::hours{1});
            return collect();
        case 4:
            publish(begin(nullptr, any_point().model));
            return;
        case 5:
            if (pick(3) == 0) rebuild_index();
            return;
        default: {
            const Published parent = points_.back();
            Model model = parent.model;
            mutate(model);
            publish(begin(&parent, std::move(model)));
        }
    }
}

/// With one point left and two gcs everything that nobody needs is gone, and nothing else.
void World::settle() {
    check_all();
    while (points_.size() > 1) forget();
    clock_.pass(std::chrono::hours{3});
    for (int i = 0; i < 2; ++i) {
        REQUIRE(any_host().vault->collect({.repack_below_percent = 100}, {}, {}));
    }
    check_all();
    const auto last = any_host().vault->stats({.forget = {points_[0].point.id}}, {}).value();
    std::uint64_t left = 0;
    const auto objects = store_.list("").value();
    for (const ObjectInfo& object : objects) {
        const bool pack = object.name.starts_with("packs/");
        const bool point = object.name.starts_with("points/") || object.name.starts_with("copies/");
        if (pack) left += test::record_share(*any_host().core, object);
        if (point) left += object.size.raw();
    }
    CHECK(*last.freed_bytes == left);
    REQUIRE(any_host().vault->forget(points_[0].point.id));
    points_.clear();
    REQUIRE(any_host().vault->collect({}, {}, {}));
    CHECK(store_.list("packs/").value().empty());
    CHECK(store_.list("index/").value().empty());
}

}  // namespace

TEST_CASE(
    "property/vault: chains of differences read as their model through forget, gc and repair") {
    const std::uint64_t seeds = is_long() ? 60 : 4;
    std::uint64_t map_deltas = 0, data_deltas = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        World world{seed};
        for (int i = 0; i < 30; ++i) {
            CAPTURE(i);
            world.step();
        }
        world.settle();
        map_deltas += world.deltas_seen(Content::map);
        data_deltas += world.deltas_seen(Content::data);
    }
    CHECK(map_deltas > 20 * seeds);
    CHECK(data_deltas > 5 * seeds);
}
