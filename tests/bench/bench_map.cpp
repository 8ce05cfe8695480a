// What the block map of an increment costs on a large disk: bytes beside the chunks, reads of the
// store, and what comparing two points takes. One JSON document on stdout.
//     bench_map --folder F [--gib N] [--increments N] [--writes N]
// The disk is full: each of its blocks holds the same chunk, so that a map of 16 TiB is five nodes;
// what an increment writes is as long as on any other full disk. Increments write blocks of noise
// at places drawn uniformly, each on the point before. `full_nodes_bytes` is what the same
// increment would have added with full nodes only.
#include <cstdio>
#include <ctime>
#include <map>
#include <random>

#include "base/check.hpp"
#include "env/random.hpp"
#include "serialization/value.hpp"
#include "vault/chunk_run.hpp"
#include "vault/local_store.hpp"
#include "vault/map_writer.hpp"
#include "vault/opened_vault.hpp"
#include "vault/vault.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using serialization::Map;

namespace {

const env::SystemClock real_clock;

struct Options {
    std::string folder;
    std::uint64_t gib = 100, increments = 30, writes = 512;
};

Options parse(int argc, char** argv) {
    Options options;
    const std::map<std::string, std::uint64_t*> numbers{{"--gib", &options.gib},
                                                        {"--increments", &options.increments},
                                                        {"--writes", &options.writes}};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (numbers.contains(argv[i])) *numbers.at(argv[i]) = std::stoull(argv[i + 1]);
        if (std::string_view{argv[i]} == "--folder") options.folder = argv[i + 1];
    }
    return options;
}

/// Counts what is read.
class CountingStore final : public BlockStore {
public:
    explicit CountingStore(BlockStore& below) : below_(below) {}
    Status put(const std::string& name, ByteView bytes) override { return below_.put(name, bytes); }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        ++reads;
        return below_.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override { return below_.size(name); }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        return below_.list(prefix);
    }
    Status remove(const std::string& name) override { return below_.remove(name); }
    [[nodiscard]] std::string describe() const override { return below_.describe(); }
    std::uint64_t reads = 0;

private:
    BlockStore& below_;
};

Bytes noise(std::size_t count, std::mt19937_64& random) {
    Bytes bytes(count);
    for (std::size_t at = 0; at + 8 <= count; at += 8) {
        const std::uint64_t word = random();
        std::memcpy(bytes.data() + at, &word, sizeof word);
    }
    return bytes;
}

/// The map of a disk whose blocks all hold one chunk: at each level a node that is full, and the
/// last one, which the disk's end cuts.
chunk::ChunkId full_map(NodeLoader& nodes, const MapShape& shape, const chunk::ChunkId& block) {
    chunk::ChunkId inner = block, last = block;
    for (unsigned level = 0; level < shape.depth(); ++level) {
        const std::uint64_t index = shape.node_of(level, shape.blocks() - 1);
        const std::uint32_t count = shape.children(level, index);
        MapNode full{level, shape.fan_out()}, edge{level, shape.fan_out()};
        for (std::uint32_t slot = 0; slot < shape.fan_out(); ++slot) full.append(slot, inner);
        for (std::uint32_t slot = 0; slot < count; ++slot) {
            edge.append(slot, slot + 1 == count ? last : inner);
        }
        inner = nodes.put(full).value();
        last = nodes.put(edge).value();
    }
    return nodes.put(RootRecord{shape, last}).value();
}

std::int64_t cpu_us() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

class Bench {
public:
    explicit Bench(const Options& options)
        : options_(options),
          files_(LocalStore::open(options.folder, real_clock).value()),
          store_(*files_) {
        InitOptions init;
        init.encryption = Encryption::none;
        SP_CHECK(init_vault(store_, init, {}));
        core_ = unlock_vault(store_, {}, real_clock).value();
    }
    Map run();

private:
    [[nodiscard]] ByteCount size() const { return ByteCount{options_.gib << 30}; }
    DiskRoot base();
    Map increment(DiskRoot& disk);
    std::uint64_t full_nodes_bytes(const std::vector<PackName>& before);
    Map compare(const DiskRoot& a, const DiskRoot& b);

    Options options_;
    std::unique_ptr<BlockStore> files_;
    CountingStore store_;
    std::shared_ptr<VaultCore> core_;
    std::mt19937_64 random_{31};
};

DiskRoot Bench::base() {
    const auto chunks = StoredChunks::open(core_).value();
    const auto run = ChunkRun::begin(*chunks, env::uuid7(real_clock)).value();
    NodeLoader nodes{*run, [this](ByteView bytes) { return core_->keys.node_ids().id_of(bytes); }};
    const Bytes block = noise(core_->config.chunk_bytes, random_);
    const auto id = core_->keys.data_ids().id_of(block);
    SP_CHECK(run->put(id, block, Content::data));
    const auto shape =
        MapShape::make(size(), core_->config.chunk_bytes, core_->config.map_fan_out).value();
    const DiskRoot disk{"vda", size(), full_map(nodes, shape, id)};
    SP_CHECK(run->flush());
    return disk;
}

/// What map packs gained, had all of their records been stored in full.
std::uint64_t Bench::full_nodes_bytes(const std::vector<PackName>& before) {
    const auto chunks = StoredChunks::open(core_).value();
    std::uint64_t more = 0;
    const auto packs = chunks->packs().value();
    for (const PackName& name : packs) {
        if (std::ranges::find(before, name) != before.end()) continue;
        const auto directory = chunks->directory(name).value();
        for (const auto& [slot, base] : directory->bases) {
            const DirectoryEntry& entry = directory->entries[slot];
            more += entry.plain_bytes + chunk::seal_overhead_bytes;
            more -= entry.stored_bytes + chunk::ChunkId::bytes;
        }
    }
    return more;
}

Map Bench::increment(DiskRoot& disk) {
    const auto before = StoredChunks::open(core_).value()->packs().value();
    const auto vault = OpenedVault::open(core_).value();
    const std::uint64_t reads = store_.reads;
    const std::int64_t began = cpu_us();
    Point point{env::uuid7(real_clock), "vm", "", {}, to_bytes(as_bytes("document")), 0, false};
    const auto run = vault->begin_run(point.id).value();
    const auto writer = run->open_disk("vda", size(), disk).value();
    const std::uint64_t blocks = size().raw() / core_->config.chunk_bytes;
    for (std::uint64_t i = 0; i < options_.writes; ++i) {
        SP_CHECK(
            writer->put(BlockIndex{random_() % blocks}, noise(core_->config.chunk_bytes, random_)));
    }
    disk = writer->finish().value();
    point.disks.push_back(disk);
    SP_CHECK(run->flush());
    SP_CHECK(run->publish(point));
    const std::int64_t us = cpu_us() - began;
    const std::uint64_t changed = options_.writes * core_->config.chunk_bytes;
    const std::uint64_t beside = run->stored_total_bytes() - writer->counts().stored_bytes;
    Map row;
    row["beside_chunks_bytes"] = beside;
    row["beside_chunks_percent_x100"] = beside * 10'000 / changed;
    row["full_nodes_bytes"] = beside + full_nodes_bytes(before);
    row["full_nodes_percent_x100"] = (beside + full_nodes_bytes(before)) * 10'000 / changed;
    row["store_reads"] = store_.reads - reads;
    row["cpu_us"] = us;
    return row;
}

Map Bench::compare(const DiskRoot& a, const DiskRoot& b) {
    const auto vault = OpenedVault::open(core_).value();
    const std::uint64_t reads = store_.reads;
    const std::int64_t began = cpu_us();
    std::uint64_t blocks = 0;
    SP_CHECK(vault->diff(a, b, [&](BlockIndex, BlockChange) -> Status {
        ++blocks;
        return {};
    }));
    Map row;
    row["cpu_us"] = cpu_us() - began;
    row["store_reads"] = store_.reads - reads;
    row["blocks"] = blocks;
    return row;
}

Map Bench::run() {
    std::vector<DiskRoot> states{base()};
    serialization::Array rows, diffs;
    DiskRoot disk = states.front();
    for (std::uint64_t i = 0; i < options_.increments; ++i) {
        rows.emplace_back(increment(disk));
        states.push_back(disk);
    }
    for (std::size_t apart : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{5},
                              std::size_t{10}, std::size_t{20}, std::size_t{30}}) {
        if (apart >= states.size()) continue;
        Map row = compare(states[states.size() - 1 - apart], states.back());
        row["apart"] = static_cast<std::uint64_t>(apart);
        diffs.emplace_back(std::move(row));
    }
    Map out;
    out["gib"] = options_.gib;
    out["writes"] = options_.writes;
    out["increments"] = std::move(rows);
    out["diffs"] = std::move(diffs);
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    if (options.folder.empty()) return 2;
    std::puts(
        serialization::to_json(Bench{options}.run(), serialization::JsonStyle::indented).c_str());
    return 0;
}
