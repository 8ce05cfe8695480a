// What looking after a large vault costs in memory and time: check (its structure), gc, and opening
// it. The vault is made up: one point of one full disk, every block another chunk, in packs of
// which only header and directory are there (sparse files; nothing reads their records), and one
// pack in a hundred that nobody needs. Block map and index are what a backup writes. One JSON
// document on stdout; three processes, so that none pays for another's memory.
//     bench_gc make  --folder F [--million N] [--dead N]     16.8 million chunks are 1 TiB
//     bench_gc open  --folder F
//     bench_gc check --folder F
//     bench_gc gc    --folder F [--remove-ms N] [--at-once N]
// gc changes the vault: the packs nobody needs go, N of them where --dead said so; a removal takes
// --remove-ms longer than the folder does, as on a store that is far away, and so many go at once.
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <stdexcept>

#include "base/check.hpp"
#include "env/random.hpp"
#include "serialization/value.hpp"
#include "vault/chunk_run.hpp"
#include "vault/local_store.hpp"
#include "vault/map_writer.hpp"
#include "vault/opened_vault.hpp"
#include "vault/point_record.hpp"
#include "vault/sealed_object.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using serialization::Map;

namespace {

const env::SystemClock real_clock;
constexpr std::uint64_t chunks_per_pack = 500;
constexpr std::uint32_t chunk_bytes = 64u << 10;

std::uint64_t mixed(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

template <class Name>
Name made_up(std::uint64_t number, std::uint64_t salt) {
    Name name;
    for (std::size_t at = 0; at < name.value.size(); ++at) {
        const std::uint64_t word = mixed(number * 8 + salt * 4 + at / 8);
        name.value[at] = static_cast<std::byte>(word >> (8 * (at % 8)));
    }
    return name;
}

chunk::ChunkId chunk_number(std::uint64_t number) {
    return made_up<chunk::ChunkId>(number, 0);
}

/// @param what "VmRSS" or "VmHWM"
double memory_mib(const std::string& what) {
    std::ifstream status{"/proc/self/status"};
    for (std::string word; status >> word;) {
        std::uint64_t kib = 0;
        if (word == what + ":" && status >> kib) return static_cast<double>(kib) / 1024;
    }
    return 0;
}

double cpu_seconds() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

class Maker {
public:
    Maker(std::filesystem::path folder, std::shared_ptr<VaultCore> core)
        : folder_(std::move(folder)), core_(std::move(core)) {}

    /// @param dead packs that nobody needs
    void make(std::uint64_t chunks, std::uint64_t dead) {
        const auto stored = StoredChunks::open(core_).value();
        const PointId id = env::uuid7(real_clock);
        const auto run = ChunkRun::begin(*stored, id).value();
        const std::uint64_t packs = chunks / chunks_per_pack;
        for (std::uint64_t number = 0; number < packs + dead; ++number) {
            SP_CHECK(run->adopt(pack(number)));
        }
        const DiskRoot disk = map_of(*run, packs * chunks_per_pack);
        SP_CHECK(run->flush());
        const Point point{id, "bench", "", {disk}, {}};
        SP_CHECK(
            put_object(*core_, ObjectKind::point, point_object(id), encode_point(point).value()));
        run->end();
    }

private:
    /// Header and directory; between them nothing was ever written.
    DurablePack pack(std::uint64_t number) {
        PackDirectory directory;
        directory.salt = random_salt(core_->random);
        Bytes header;
        write_object_header(header, ObjectKind::pack, directory.salt);
        std::uint64_t at = header.size();
        for (std::uint64_t slot = 0; slot < chunks_per_pack; ++slot) {
            directory.entries.push_back({chunk_number(number * chunks_per_pack + slot),
                                         chunk::Codec::raw, chunk_bytes, chunk_bytes + 16, at});
            at += chunk_bytes + 16;
        }
        const chunk::SealKey key = core_->keys.object_key(ObjectKind::pack, directory.salt);
        const Bytes end =
            seal_pack_end(core_->keys.vault_id(), key, directory, core_->config.pack_bytes);
        directory.pack_bytes = at + end.size();
        const auto name = made_up<PackName>(number, 1);
        const auto path = folder_ / name.object();
        std::filesystem::create_directories(path.parent_path());
        std::ofstream file{path, std::ios::binary};
        file << as_text(header);
        file.seekp(static_cast<std::streamoff>(at));
        file << as_text(end);
        if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
        return {name, std::move(directory)};
    }

    DiskRoot map_of(ChunkRun& run, std::uint64_t blocks) {
        const auto node_id = [this](ByteView bytes) { return core_->keys.node_ids().id_of(bytes); };
        NodeLoader nodes{run, node_id};
        const ByteCount size{blocks * chunk_bytes};
        const auto shape = MapShape::make(size, chunk_bytes, core_->config.map_fan_out).value();
        const auto map = MapWriter::open(nodes, shape, nullptr).value();
        for (std::uint64_t block = 0; block < blocks; ++block) {
            SP_CHECK(map->put(BlockIndex{block}, chunk_number(block)));
        }
        return {"vda", size, map->finish().value()};
    }

    std::filesystem::path folder_;
    std::shared_ptr<VaultCore> core_;
};

/// Takes its time for each removal. @threads any
class FarStore final : public BlockStore {
public:
    FarStore(BlockStore& inner, std::chrono::milliseconds delay, unsigned at_once)
        : inner_(inner), delay_(delay), at_once_(at_once) {}
    Status put(const std::string& name, ByteView bytes) override { return inner_.put(name, bytes); }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        return inner_.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override { return inner_.size(name); }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        return inner_.list(prefix);
    }
    Status remove(const std::string& name) override {
        std::unique_lock lock{mutex_};
        never_.wait_for(lock, delay_, [] { return false; });
        lock.unlock();
        return inner_.remove(name);
    }
    [[nodiscard]] std::string describe() const override { return inner_.describe(); }
    [[nodiscard]] unsigned calls_at_once() const override { return at_once_; }

private:
    BlockStore& inner_;
    std::chrono::milliseconds delay_;
    unsigned at_once_;
    std::mutex mutex_;
    std::condition_variable never_;  // a wait for it takes as long as it may
};

Map measure(const std::string& what, const std::shared_ptr<VaultCore>& core) {
    const double before = memory_mib("VmRSS"), cpu = cpu_seconds();
    const env::Nanoseconds start = real_clock.monotonic();
    const auto vault = OpenedVault::open(core).value();
    Map result{{"what", what},
               {"rss_mib_before", before},
               {"rss_mib_opened", memory_mib("VmRSS")},
               {"open_cpu_s", cpu_seconds() - cpu}};
    if (what == "check") {
        const auto checked = vault->check(CheckDepth::structure, {}, {}).value();
        SP_CHECK(checked.damage.empty() && checked.points == 1);
    }
    if (what == "gc") {
        const GcResult collected = vault->collect({}, {}, {}).value();
        result["freed_packs"] = collected.freed_packs;
    }
    result["cpu_s"] = cpu_seconds() - cpu;
    result["seconds"] = env::to_ms(real_clock.monotonic() - start) / 1e3;
    result["rss_mib_peak"] = memory_mib("VmHWM");
    const auto segments = core->store.list("index/").value();
    result["segments"] = std::uint64_t{segments.size()};
    return result;
}

}  // namespace

int main(int argc, char** argv) {
    std::string folder;
    std::uint64_t million = 1, dead = 0, remove_ms = 0, at_once = 1;
    const std::map<std::string, std::uint64_t*> numbers{{"--million", &million},
                                                        {"--dead", &dead},
                                                        {"--remove-ms", &remove_ms},
                                                        {"--at-once", &at_once}};
    const std::string what = argc > 1 ? argv[1] : "";
    for (int i = 2; i + 1 < argc; i += 2) {
        if (std::string_view{argv[i]} == "--folder") folder = argv[i + 1];
        if (numbers.contains(argv[i])) *numbers.at(argv[i]) = std::stoull(argv[i + 1]);
    }
    if (folder.empty() || (what != "make" && what != "open" && what != "check" && what != "gc")) {
        std::fputs(
            "usage: bench_gc make|open|check|gc --folder F [--million N] [--dead N] "
            "[--remove-ms N] [--at-once N]\n",
            stderr);
        return 2;
    }
    const auto local = LocalStore::open(folder, real_clock).value();
    FarStore store{*local, std::chrono::milliseconds{remove_ms}, static_cast<unsigned>(at_once)};
    InitOptions init;
    init.encryption = Encryption::none;
    if (what == "make") SP_CHECK(init_vault(store, init, {}));
    const auto core = unlock_vault(store, {}, real_clock).value();
    if (what == "make") {
        const std::uint64_t chunks = million * 1'000'000;
        Maker{folder, core}.make(chunks, dead > 0 ? dead : chunks / chunks_per_pack / 100 + 1);
        return 0;
    }
    const Map result = measure(what, core);
    std::puts(serialization::to_json(result, serialization::JsonStyle::indented).c_str());
    return 0;
}
