// What the index of a large vault costs: seconds and bytes to open it, memory, time of lookups. The
// segments are made as gc leaves them (merged) or as one backup leaves them (run), without packs.
// One JSON document on stdout.
//     bench_index make    --folder F [--million N] [--layout 0|1] [--segment N]
//     bench_index measure --folder F [--million N] [--layout 0|1] [--segment N] [--lookups N]
// Layout 0 is merged: segments of --segment entries (4194304), 32 at most, each of a range of keys.
// Of a lookup `ns` is the wall clock's, `cpu_ns` what it took of a processor: the one to compare
// where the machine has other work. `hit_in_order` looks up what one backup stored one after the
// other, `miss_writer` as a backup does, which does not ask every segment. Layout 1 is one
// backup's: segments of 262144 entries each. 16.8 million chunks are 1 TiB. Two processes, so that
// making the segments leaves no trace in the memory of the one that is measured.
#include <atomic>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>
#include <stdexcept>
#include <thread>

#include "serialization/value.hpp"
#include "vault/gc/index_merge.hpp"
#include "vault/local_store.hpp"
#include "vault/object_names.hpp"
#include "vault/vault.hpp"
#include "vault/vault_index.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using serialization::Map;

namespace {

const env::SystemClock real_clock;
constexpr std::uint64_t chunks_per_pack = 500;
constexpr std::uint64_t run_segment_entries = 1u << 18;
constexpr std::size_t unsure_segments_max = 4;  // of a backup

struct Options {
    std::string folder;
    std::uint64_t million = 1, layout = 0, segment = gc::MergeOptions{}.entries_wanted,
                  lookups = 100'000;
    [[nodiscard]] std::uint64_t entries() const { return million * 1'000'000; }
    [[nodiscard]] bool merged() const { return layout == 0; }
    [[nodiscard]] std::uint64_t segments() const {
        if (!merged()) return entries() / run_segment_entries + 1;
        return std::min(entries() / segment + 1, gc::MergeOptions{}.segments_max);
    }
    [[nodiscard]] std::uint64_t packs() const { return entries() / chunks_per_pack + 1; }
};

Options parse(int argc, char** argv) {
    Options options;
    const std::map<std::string, std::uint64_t*> numbers{{"--million", &options.million},
                                                        {"--layout", &options.layout},
                                                        {"--segment", &options.segment},
                                                        {"--lookups", &options.lookups}};
    for (int i = 2; i + 1 < argc; i += 2) {
        if (numbers.contains(argv[i])) *numbers.at(argv[i]) = std::stoull(argv[i + 1]);
        if (std::string_view{argv[i]} == "--folder") options.folder = argv[i + 1];
    }
    return options;
}

std::uint64_t mixed(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/// The id of chunk `number`, in the range of keys of its segment where segments have ranges.
chunk::ChunkId id_of(const Options& options, std::uint64_t number) {
    std::uint64_t head = mixed(number * 2), tail = mixed(number * 2 + 1);
    if (options.merged()) {
        const std::uint64_t at = number % options.segments();
        const std::uint64_t from = (at << 32) / options.segments();
        const std::uint64_t to = ((at + 1) << 32) / options.segments();
        head = (from + ((head >> 32) * (to - from) >> 32)) << 32 | (head & 0xffffffff);
    }
    chunk::ChunkId id;
    for (std::size_t i = 0; i < 8; ++i) {
        id.value[i] = static_cast<std::byte>(head >> (56 - 8 * i));
        id.value[i + 8] = static_cast<std::byte>(tail >> (56 - 8 * i));
    }
    return id;
}

SegmentPack pack_of(std::uint64_t number) {
    SegmentPack pack{{}, 32u << 20, chunks_per_pack, Content::data};
    for (std::size_t i = 0; i < pack.name.value.size(); ++i) {
        pack.name.value[i] = static_cast<std::byte>(mixed(number * 4 + i / 8) >> (8 * (i % 8)));
    }
    return pack;
}

Segment segment_at(const Options& options, std::uint64_t at) {
    Segment segment;
    // Merged: every segment names chunks of all packs. One backup's: its own packs, in order.
    const std::uint64_t step = options.merged() ? options.segments() : 1;
    const std::uint64_t from = options.merged() ? at : at * run_segment_entries;
    const std::uint64_t to = options.merged()
                                 ? options.entries()
                                 : std::min(options.entries(), from + run_segment_entries);
    const std::uint64_t first_pack = options.merged() ? 0 : from / chunks_per_pack;
    const std::uint64_t end_pack = options.merged() ? options.packs() : to / chunks_per_pack + 1;
    for (std::uint64_t i = first_pack; i < end_pack; ++i) segment.packs.push_back(pack_of(i));
    segment.entries.reserve((to - from) / step + 1);
    for (std::uint64_t i = from; i < to; i += step) {
        segment.entries.push_back({index_key(id_of(options, i)),
                                   static_cast<std::uint16_t>(i % chunks_per_pack),
                                   static_cast<std::uint32_t>(i / chunks_per_pack - first_pack)});
    }
    return segment;
}

/// Counts what is read. @threads any
class CountedStore final : public BlockStore {
public:
    explicit CountedStore(BlockStore& inner) : inner_(inner) {}
    Status put(const std::string& name, ByteView bytes) override { return inner_.put(name, bytes); }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        ++gets;
        bytes_read += length.raw();
        return inner_.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override { return inner_.size(name); }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        return inner_.list(prefix);
    }
    Status remove(const std::string& name) override { return inner_.remove(name); }
    [[nodiscard]] std::string describe() const override { return inner_.describe(); }
    std::atomic<std::uint64_t> gets{0}, bytes_read{0};

private:
    BlockStore& inner_;
};

double cpu_seconds() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

double seconds_since(env::Nanoseconds start) {
    return env::to_ms(real_clock.monotonic() - start) / 1e3;
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

void make(const Options& options, const VaultCore& core) {
    for (std::uint64_t at = 0; at < options.segments(); ++at) {
        const std::string name = new_segment_name(core.random);
        const Status put =
            core.store.put(name, encode_segment(core, name, segment_at(options, at)));
        if (!put) throw std::runtime_error(put.error().text);
    }
}

class Bench {
public:
    Bench(Options options, const VaultCore& core, CountedStore& store)
        : options_(std::move(options)), store_(store), index_(core) {}

    Map run() {
        const double before = memory_mib("VmRSS");
        Map result = open();
        result["entries"] = index_.entries();
        result["rss_mib_before"] = before;
        result["rss_mib_opened"] = memory_mib("VmRSS");
        // Cold: the first lookups, before filters are made.
        for (const Kind& kind :
             {Kind{"hit_first"}, Kind{"miss_first", false}, Kind{"hit"}, Kind{"miss", false},
              Kind{"hit_2_threads", true, 2}, Kind{"miss_2_threads", false, 2},
              Kind{"hit_in_order", true, 1, true},
              Kind{"miss_writer", false, 1, false, unsure_segments_max}}) {
            const bool first = std::string_view{kind.name}.ends_with("first");
            result[kind.name] = lookups(kind, first ? 2'000 : options_.lookups);
        }
        result["rss_mib_end"] = memory_mib("VmRSS");
        result["rss_mib_peak"] = memory_mib("VmHWM");
        return result;
    }

private:
    struct Kind {
        const char* name;
        bool found = true;
        unsigned threads = 1;
        bool in_order = false;
        std::size_t unsure_max = SIZE_MAX;
    };

    /// As StoredChunks looks.
    [[nodiscard]] bool known(const chunk::ChunkId& id, const Kind& kind) const {
        return !index_.find_held(id).empty() || !index_.find_near(id).empty() ||
               !index_.find_stored(id, kind.unsure_max).hits.empty();
    }

    Map open() {
        auto objects = store_.list(names::index).value();
        std::sort(objects.begin(), objects.end(),
                  [](const ObjectInfo& a, const ObjectInfo& b) { return a.size < b.size; });
        std::uint64_t bytes = 0;
        const double cpu = cpu_seconds();
        const env::Nanoseconds start = real_clock.monotonic();
        for (const ObjectInfo& object : objects) {
            bytes += object.size.raw();
            if (!index_.load(object)) throw std::runtime_error("cannot open " + object.name);
        }
        return {{"open_seconds", seconds_since(start)},
                {"open_cpu_seconds", cpu_seconds() - cpu},
                {"open_bytes_read", std::uint64_t{store_.bytes_read}},
                {"index_bytes", bytes},
                {"segments", std::uint64_t{objects.size()}}};
    }

    /// Nanoseconds of one lookup as a thread sees it, and what it reads.
    Map lookups(const Kind& kind, std::uint64_t count) {
        const unsigned threads = kind.threads;
        const std::uint64_t bytes = store_.bytes_read, gets = store_.gets;
        std::atomic<std::uint64_t> wrong{0};
        const double cpu = cpu_seconds();
        const env::Nanoseconds start = real_clock.monotonic();
        {
            std::vector<std::jthread> running;
            for (unsigned thread = 0; thread < threads; ++thread) {
                running.emplace_back([&, thread] {
                    for (std::uint64_t i = 0; i < count; ++i) {
                        const std::uint64_t at = seed_ + i * threads + thread;
                        std::uint64_t number =
                            (kind.in_order ? at : mixed(at)) % options_.entries();
                        if (!kind.found) number += options_.entries();
                        if (known(id_of(options_, number), kind) != kind.found) ++wrong;
                    }
                });
            }
        }
        const double seconds = seconds_since(start);
        seed_ += count * threads;
        const auto all = static_cast<double>(count * threads);
        if (wrong > 0) throw std::runtime_error("a lookup was wrong");
        return {{"ns", seconds * 1e9 / static_cast<double>(count)},
                {"cpu_ns", (cpu_seconds() - cpu) * 1e9 / all},
                {"gets", static_cast<double>(store_.gets - gets) / all},
                {"bytes", static_cast<double>(store_.bytes_read - bytes) / all}};
    }

    Options options_;
    CountedStore& store_;
    VaultIndex index_;
    std::uint64_t seed_ = 1;
};

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    const std::string_view mode = argc > 1 ? argv[1] : "";
    if (options.folder.empty() || (mode != "make" && mode != "measure")) {
        std::fputs("usage: bench_index make|measure --folder F [...]\n", stderr);
        return 2;
    }
    const auto local = LocalStore::open(options.folder, real_clock).value();
    CountedStore store{*local};
    InitOptions init;
    init.encryption = Encryption::none;
    const Status made = init_vault(store, init, {});
    if (!made && made.error().id != "vault.exists") throw std::runtime_error(made.error().text);
    const auto core = unlock_vault(store, {}, real_clock).value();
    if (mode == "make") {
        make(options, *core);
        return 0;
    }
    store.bytes_read = store.gets = 0;
    const Map result = Bench{options, *core, store}.run();
    std::puts(serialization::to_json(result, serialization::JsonStyle::indented).c_str());
    return 0;
}
