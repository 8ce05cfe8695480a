#include "vault/read_ahead.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "vault/memory_store.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;

namespace {

constexpr std::uint64_t kib = 1024;

/// One pack of records, each of bytes that say where it lies; the calls that read it are noted.
class OnePack final : public BlockStore {
public:
    explicit OnePack(const std::vector<std::uint64_t>& records) {
        std::uint64_t at = 40;  // the header
        for (const std::uint64_t bytes : records) {
            DirectoryEntry entry;
            entry.offset = at;
            entry.stored_bytes = static_cast<std::uint32_t>(bytes);
            directory.entries.push_back(entry);
            at += bytes;
        }
        content.resize(at);
        for (std::size_t i = 0; i < content.size(); ++i) {
            content[i] = static_cast<std::byte>(i * 31 + (i >> 10));
        }
    }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        return get_reusing(name, at, length, {});
    }
    Result<Bytes> get_reusing(const std::string& name, ByteOffset at, ByteCount length,
                              Bytes spent) override {
        CHECK(name == pack.object());
        const Extent range{at, length};
        if (before_get) before_get(range);
        const std::scoped_lock lock{mutex_};
        reads.push_back(range);
        if (end_of(range)->raw() > content.size()) return fail(Errc::corrupt, "store.short", "cut");
        const ByteView wanted = ByteView{content}.subspan(at.raw(), length.raw());
        spent.assign(wanted.begin(), wanted.end());
        return spent;
    }
    Status put(const std::string&, ByteView) override { return {}; }
    Result<ByteCount> size(const std::string&) override { return ByteCount{content.size()}; }
    Result<std::vector<ObjectInfo>> list(const std::string&) override { return {}; }
    Status remove(const std::string&) override { return {}; }
    [[nodiscard]] std::string describe() const override { return "one pack"; }

    /// @return whether the record came back as it lies in the pack
    bool right(ReadAhead& ahead, std::uint32_t slot) {
        const auto piece = ahead.get(*this, pack, directory, slot);
        const DirectoryEntry& entry = directory.entries[slot];
        return piece && std::ranges::equal(piece->bytes, ByteView{content}.subspan(
                                                             entry.offset, entry.stored_bytes));
    }
    [[nodiscard]] std::uint64_t bytes_read() const {
        std::uint64_t sum = 0;
        for (const Extent& range : reads) sum += range.length.raw();
        return sum;
    }

    PackName pack = PackName::of(as_bytes("a pack"));
    PackDirectory directory;
    Bytes content;
    std::vector<Extent> reads;
    std::function<void(const Extent&)> before_get;

private:
    std::mutex mutex_;
};

constexpr ReadAhead::Limits small{.window_bytes = 256 * kib, .kept_bytes = 1024 * kib};

}  // namespace

TEST_CASE("vault/read_ahead: who reads on gets windows, each byte once") {
    OnePack store{std::vector<std::uint64_t>(100, 30 * kib)};
    ReadAhead ahead{small};
    for (std::uint32_t slot = 0; slot < 100; ++slot) CHECK(store.right(ahead, slot));
    // The first record alone, then each window of eight or nine records.
    CHECK(store.reads.size() == 1 + 12);
    CHECK(store.bytes_read() == (1 + 100) * 30 * kib);
}

TEST_CASE("vault/read_ahead: records come whole, of any length and in any order") {
    constexpr std::uint64_t to_the_last_byte = 256 * kib - 1 - 40;  // of the first window
    for (const std::uint64_t first : {std::uint64_t{1}, to_the_last_byte, to_the_last_byte + 1}) {
        CAPTURE(first);
        OnePack store{{first, 300 * kib, 2, 3, 700 * kib, 40, 255 * kib, 256 * kib, 1, 90 * kib}};
        ReadAhead ahead{small};
        for (int round = 0; round < 3; ++round) {
            for (const std::uint32_t slot : {0u, 4u, 1u, 5u, 9u, 2u, 3u, 6u, 8u, 7u}) {
                CHECK(store.right(ahead, slot));
            }
        }
    }
}

TEST_CASE("vault/read_ahead: scattered records cost what they are") {
    OnePack store{std::vector<std::uint64_t>(200, 30 * kib)};
    ReadAhead ahead{small};
    for (std::uint32_t slot = 0; slot < 200; slot += 20) CHECK(store.right(ahead, slot));
    CHECK(store.bytes_read() == 10 * 30 * kib);
}

TEST_CASE("vault/read_ahead: no more is kept than may be, and what went is read again") {
    OnePack store{std::vector<std::uint64_t>(200, 30 * kib)};
    ReadAhead ahead{small};
    for (std::uint32_t slot = 0; slot < 200; ++slot) CHECK(store.right(ahead, slot));
    const std::size_t reads = store.reads.size();
    CHECK(store.right(ahead, 199));
    CHECK(store.reads.size() == reads);
    CHECK(store.right(ahead, 3));
    CHECK(store.reads.size() == reads + 1);
}

TEST_CASE("vault/read_ahead: a piece stays what it is as long as somebody holds it") {
    OnePack store{std::vector<std::uint64_t>(200, 30 * kib)};
    ReadAhead ahead{small};
    CHECK(store.right(ahead, 0));
    const auto held = ahead.get(store, store.pack, store.directory, 1).value();
    const Bytes before = to_bytes(held.bytes);
    for (std::uint32_t slot = 2; slot < 200; ++slot) CHECK(store.right(ahead, slot));
    CHECK(std::ranges::equal(held.bytes, before));
}

TEST_CASE("vault/read_ahead: what cannot be read behind a record does not hide it") {
    OnePack store{std::vector<std::uint64_t>(20, 30 * kib)};
    store.content.resize(5 * 30 * kib);  // the pack was cut
    ReadAhead ahead{small};
    for (const int round : {1, 2}) {
        CAPTURE(round);
        for (std::uint32_t slot = 0; slot < 4; ++slot) CHECK(store.right(ahead, slot));
        CHECK(ahead.get(store, store.pack, store.directory, 7).error().id == "store.short");
    }
}

TEST_CASE("vault/read_ahead: what turned out to be damaged is read again") {
    OnePack store{std::vector<std::uint64_t>(20, 30 * kib)};
    ReadAhead ahead{small};
    store.content[40 + 3 * 30 * kib] ^= std::byte{1};
    for (std::uint32_t slot = 0; slot < 4; ++slot) CHECK(store.right(ahead, slot));
    store.content[40 + 3 * 30 * kib] ^= std::byte{1};
    CHECK_FALSE(store.right(ahead, 3));
    ahead.forget(store.pack);
    CHECK(store.right(ahead, 3));
}

TEST_CASE("vault/read_ahead: who asks for what is on its way waits for it") {
    OnePack store{std::vector<std::uint64_t>(20, 30 * kib)};
    ReadAhead ahead{small};
    CHECK(store.right(ahead, 0));
    std::atomic<bool> other_asks{false};
    std::thread other;
    bool other_right = false;
    store.before_get = [&](const Extent&) {
        if (other.joinable()) return;
        other = std::thread{[&] {
            other_asks = true;
            other_asks.notify_one();
            other_right = store.right(ahead, 2);
        }};
        other_asks.wait(false);
    };
    CHECK(store.right(ahead, 1));
    other.join();
    CHECK(other_right);
    CHECK(store.reads.size() == 2);  // the first record, and the window once
}
