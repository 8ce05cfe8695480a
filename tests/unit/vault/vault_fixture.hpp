#pragma once
#include <atomic>
#include <memory>
#include <random>

#include "base/hex.hpp"
#include "env/random.hpp"
#include "vault/memory_store.hpp"
#include "vault/stored_chunks.hpp"
#include "vault/vault.hpp"

namespace stillpoint::test {

/// Wall and monotonic time that stand still until told, each for itself. @threads any
class SplitClock final : public env::Clock {
public:
    [[nodiscard]] env::Nanoseconds monotonic() const override { return monotonic_.load(); }
    [[nodiscard]] env::Nanoseconds wall() const override { return wall_.load(); }
    void pass(env::Nanoseconds time) {
        pass_monotonic(time);
        pass_wall(time);
    }
    void pass_monotonic(env::Nanoseconds time) { monotonic_ = monotonic_.load() + time; }
    void pass_wall(env::Nanoseconds time) { wall_ = wall_.load() + time; }

private:
    std::atomic<env::Nanoseconds> monotonic_{std::chrono::hours{1}};
    std::atomic<env::Nanoseconds> wall_{std::chrono::seconds{1'800'000'000}};
};

/// The same "random" bytes at every run, for golden files.
inline vault::RandomSource counted_random() {
    auto random = std::make_shared<std::mt19937_64>(2026);
    return [random](std::size_t count) {
        Bytes out(count);
        for (auto& byte : out) byte = static_cast<std::byte>((*random)());
        return out;
    };
}

inline Bytes text_block(std::size_t count, int salt = 7) {
    Bytes out;
    for (int i = 0; out.size() < count; ++i) {
        const std::string line = "line " + std::to_string(i * salt) + " of a log\n";
        out.insert(out.end(), as_bytes(line).begin(), as_bytes(line).end());
    }
    out.resize(count);
    return out;
}

inline Bytes noise_block(std::size_t count, std::uint64_t seed) {
    std::mt19937_64 random{seed};
    Bytes out(count);
    for (auto& byte : out) byte = static_cast<std::byte>(random());
    return out;
}

/// An open vault without encryption, in a store of the test's own or in memory.
struct TestVault {
    explicit TestVault(vault::BlockStore* other = nullptr) : store(other ? *other : memory) {
        vault::InitOptions options;
        options.encryption = vault::Encryption::none;
        const Status made = vault::init_vault(store, options, {});
        if (made || made.error().id == "vault.exists") {
            core = vault::unlock_vault(store, {}, clock).value();
        }
    }
    [[nodiscard]] std::unique_ptr<vault::StoredChunks> chunks() const {
        return vault::StoredChunks::open(core).value();
    }
    [[nodiscard]] chunk::ChunkId data_id(ByteView bytes) const {
        return core->keys.data_ids().id_of(bytes);
    }

    vault::MemoryStore memory;
    vault::BlockStore& store;
    SplitClock clock;
    std::shared_ptr<vault::VaultCore> core;
};

/// The master key of a vault without encryption.
inline Bytes open_key(const TestVault& vault) {
    return from_hex(vault.core->config.open_key).value();
}

}  // namespace stillpoint::test
