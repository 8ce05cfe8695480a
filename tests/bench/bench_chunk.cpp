// What each stage of the way into a vault costs, in CPU nanoseconds a byte, and the whole way with
// several threads. One JSON document on stdout.
//     bench_chunk [--mib N] [--rounds N] [--threads N] [--chunk-kib N] [--file IMAGE] [--folder F]
//                 [--whole 0|1]
// Each stage counts the bytes that it gets: compression those of chunks that are no copies of
// others (`unique_bytes`), sealing, naming and writing what is stored (`stored_bytes`).
// Without --file the data is half random and half text. The best of the rounds counts: a shared
// machine only ever adds.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <random>
#include <stdexcept>
#include <thread>
#include <unordered_set>

#include "chunk/zero.hpp"
#include "serialization/value.hpp"
#include "vault/chunk_run.hpp"
#include "vault/local_store.hpp"
#include "vault/pack_check.hpp"
#include "vault/vault.hpp"

using namespace stillpoint;
using serialization::Map;

namespace {

const env::SystemClock real_clock;
constexpr std::size_t mib = 1u << 20;

struct Options {
    std::size_t mib_count = 64, rounds = 3, threads = 2, chunk_kib = 64, whole = 1;
    std::string file, folder = "/tmp";
};

Options parse(int argc, char** argv) {
    Options options;
    const std::map<std::string, std::size_t*> numbers{{"--mib", &options.mib_count},
                                                      {"--rounds", &options.rounds},
                                                      {"--threads", &options.threads},
                                                      {"--chunk-kib", &options.chunk_kib},
                                                      {"--whole", &options.whole}};
    const std::map<std::string, std::string*> texts{{"--file", &options.file},
                                                    {"--folder", &options.folder}};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (numbers.contains(argv[i])) *numbers.at(argv[i]) = std::stoul(argv[i + 1]);
        if (texts.contains(argv[i])) *texts.at(argv[i]) = argv[i + 1];
    }
    return options;
}

Bytes text_bytes(std::size_t count, std::mt19937_64& random) {
    std::vector<std::string> words(2000);
    for (std::string& word : words) {
        for (std::size_t n = 2 + random() % 9; n > 0; --n) {
            word += static_cast<char>('a' + random() % 26);
        }
    }
    Bytes out;
    while (out.size() < count) {
        // Products favour small numbers, as languages favour few words.
        const std::string& word = words[random() % words.size() * (random() % words.size()) / 2000];
        out.insert(out.end(), as_bytes(word).begin(), as_bytes(word).end());
        out.push_back(static_cast<std::byte>(random() % 12 == 0 ? '\n' : ' '));
    }
    out.resize(count);
    return out;
}

Bytes sample(const Options& options) {
    const std::size_t count = options.mib_count * mib;
    if (!options.file.empty()) {
        const auto fd = env::open_file(options.file, 0).value();
        const ByteCount size = env::file_size(options.file).value();
        Bytes out(std::min<std::size_t>(count, size.raw()));
        if (!env::read_at(fd.get(), ByteOffset{0}, out, options.file)) {
            throw std::runtime_error("cannot read " + options.file);
        }
        return out;
    }
    std::mt19937_64 random{1};
    Bytes out(count / 2);
    for (std::size_t at = 0; at + 8 <= out.size(); at += 8) {
        const std::uint64_t word = random();
        std::memcpy(out.data() + at, &word, sizeof word);
    }
    const Bytes text = text_bytes(count - out.size(), random);
    out.insert(out.end(), text.begin(), text.end());
    return out;
}

double cpu_seconds() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

class Bench {
public:
    explicit Bench(Options options) : options_(std::move(options)), data_(sample(options_)) {
        for (std::size_t at = 0; at < data_.size(); at += options_.chunk_kib << 10) {
            const std::size_t left = data_.size() - at;
            chunks_.push_back(
                ByteView{data_}.subspan(at, std::min(left, options_.chunk_kib << 10)));
        }
    }

    Map run() {
        Map stages;
        const chunk::ChunkHasher hasher{chunk::SecretKey{}};
        const chunk::SealKey key{chunk::SecretKey{}};
        const chunk::Compressor compressor;
        Bytes scratch, sealed(data_.size() + 16);
        const auto each = [&](auto&& use) {
            return cost([&] {
                for (const ByteView chunk : chunks_) use(chunk);
            });
        };
        find_copies(hasher);
        Map stored{{"none", unique_bytes_}};
        const auto compress = [&](const char* name, chunk::CompressionPolicy policy) {
            std::uint64_t left = 0;
            stages[name] = cost(
                [&] {
                    left = 0;
                    for (const ByteView chunk : unique_) {
                        left += compressor.compress(policy, chunk, scratch).bytes.size();
                    }
                },
                unique_bytes_);
            stored[name] = left;
        };
        const Bytes zeros(data_.size());
        stages["zero_test"] = each([&](ByteView chunk) { keep_ += chunk::is_zero(chunk) ? 1 : 0; });
        stages["zero_test_of_zeros"] = cost([&] { keep_ += chunk::is_zero(zeros) ? 1 : 0; });
        stages["id"] = each([&](ByteView chunk) {
            keep_ += std::to_integer<std::size_t>(hasher.id_of(chunk).value[0]);
        });
        compress("zstd", chunk::CompressionPolicy::zstd);
        compress("lz4", chunk::CompressionPolicy::lz4);
        std::uint64_t record = 0;
        stages["seal"] = each([&](ByteView chunk) {
            key.seal(record++, {}, chunk, std::span{sealed}.first(chunk.size() + 16));
        });
        stages["pack_name"] =
            cost([&] { keep_ += std::to_integer<std::size_t>(chunk::sha256_by_pieces(data_)[0]); });
        stages["write"] = cost_of_write();
        return {{"bytes", std::uint64_t{data_.size()}},
                {"unique_bytes", unique_bytes_},
                {"stored_bytes", stored},
                {"chunk_bytes", std::uint64_t{options_.chunk_kib << 10}},
                {"cpu_ns_per_byte", stages},
                {"threads", std::uint64_t{options_.threads}},
                {"whole", whole_ways()}};
    }

private:
    Map whole_ways() {
        Map whole;
        if (options_.whole == 0) return whole;
        for (const auto& [name, policy] : {std::pair{"zstd", vault::Compression::zstd},
                                           {"lz4", vault::Compression::lz4},
                                           {"none", vault::Compression::none}}) {
            whole[name] = whole_way(policy);
        }
        return whole;
    }

    void find_copies(const chunk::ChunkHasher& hasher) {
        std::unordered_set<chunk::ChunkId, chunk::ChunkIdHash> seen;
        for (const ByteView chunk : chunks_) {
            if (chunk::is_zero(chunk) || !seen.insert(hasher.id_of(chunk)).second) continue;
            unique_.push_back(chunk);
            unique_bytes_ += chunk.size();
        }
    }

    double cost(const std::function<void()>& work) const { return cost(work, data_.size()); }

    /// @return CPU nanoseconds for each of so many bytes
    double cost(const std::function<void()>& work, std::uint64_t bytes) const {
        double best = 1e9;
        for (std::size_t round = 0; round < options_.rounds; ++round) {
            const double before = cpu_seconds();
            work();
            best = std::min(best, cpu_seconds() - before);
        }
        return best * 1e9 / static_cast<double>(bytes);
    }

    double cost_of_write() const {
        const auto folder = env::TemporaryFolder::create(options_.folder, "sp-bench-").value();
        const auto store = vault::LocalStore::open(folder.path(), real_clock).value();
        // As a pack is: aligned, so that it goes past the page cache. Each has the same content.
        constexpr std::size_t pack_bytes = 32 * mib;
        const env::PageBuffer pack = env::make_page_buffer(pack_bytes);
        std::memcpy(pack.get(), data_.data(), std::min(pack_bytes, data_.size()));
        const std::size_t packs = data_.size() / pack_bytes + 1;
        std::size_t number = 0;
        return cost(
            [&] {
                for (std::size_t i = 0; i < packs; ++i) {
                    const Status put = store->put("packs/" + std::to_string(number++),
                                                  ByteView{pack.get(), pack_bytes});
                    if (!put) throw std::runtime_error(put.error().text);
                }
            },
            packs * pack_bytes);
    }

    void put_all(vault::ChunkRun& run, const vault::VaultCore& core) {
        std::atomic<std::size_t> next = 0;
        std::vector<std::thread> threads;
        for (std::size_t t = 0; t < options_.threads; ++t) {
            threads.emplace_back([&] {
                for (std::size_t i = next++; i < chunks_.size(); i = next++) {
                    if (chunk::is_zero(chunks_[i])) continue;
                    const auto id = core.keys.data_ids().id_of(chunks_[i]);
                    if (!run.put(id, chunks_[i], vault::Content::data)) std::abort();
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
        if (!run.flush()) std::abort();
    }

    Map whole_way(vault::Compression compression) {
        double best_cpu = 1e9, best_wall = 1e9, best_check = 1e9;
        std::uint64_t stored = 0;
        for (std::size_t round = 0; round < options_.rounds; ++round) {
            const auto folder = env::TemporaryFolder::create(options_.folder, "sp-bench-").value();
            const auto store = vault::LocalStore::open(folder.path(), real_clock).value();
            const vault::InitOptions init{vault::Encryption::none, compression,
                                          static_cast<std::uint32_t>(options_.chunk_kib << 10)};
            if (!vault::init_vault(*store, init, {})) std::abort();
            const auto core = vault::unlock_vault(*store, {}, real_clock).value();
            const auto chunks = vault::StoredChunks::open(core).value();
            const auto run = vault::ChunkRun::begin(*chunks, "bench").value();
            const env::Nanoseconds start = real_clock.monotonic();
            const double cpu = cpu_seconds();
            put_all(*run, *core);
            best_cpu = std::min(best_cpu, cpu_seconds() - cpu);
            best_wall = std::min(best_wall, env::to_ms(real_clock.monotonic() - start) / 1e3);
            stored = run->stored_total_bytes();
            const double before_check = cpu_seconds();
            const auto packs = chunks->packs().value();
            for (const auto& pack : packs) {
                if (!vault::verify_pack(*core, pack).value().whole()) std::abort();
            }
            best_check = std::min(best_check, cpu_seconds() - before_check);
        }
        const auto bytes = static_cast<double>(data_.size());
        return {{"cpu_ns_per_byte", best_cpu * 1e9 / bytes},
                {"mib_per_s", bytes / mib / best_wall},
                {"stored_bytes", stored},
                {"verify_cpu_ns_per_stored_byte", best_check * 1e9 / static_cast<double>(stored)}};
    }

    Options options_;
    Bytes data_;
    std::vector<ByteView> chunks_, unique_;
    std::uint64_t unique_bytes_ = 0;
    std::size_t keep_ = 0;  // results are used, or the compiler would leave the work out
};

}  // namespace

int main(int argc, char** argv) {
    const Map result = Bench{parse(argc, argv)}.run();
    std::puts(serialization::to_json(result, serialization::JsonStyle::indented).c_str());
    return 0;
}
