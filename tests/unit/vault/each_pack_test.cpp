#include "vault/each_pack.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <set>

#include "support/one_failure.hpp"
#include "vault/local_store.hpp"
#include "vault/open_pack.hpp"
#include "vault/watched_store.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::TestVault;

namespace {

constexpr std::uint64_t default_pack_bytes = pack_bytes_default;

std::vector<PackName> some_packs(std::size_t count) {
    std::vector<PackName> packs(count);
    for (std::size_t at = 0; at < count; ++at) packs[at].value[0] = static_cast<std::byte>(at);
    return packs;
}

/// Where threads wait until so many are there at once, or give up.
class Meeting {
public:
    explicit Meeting(unsigned wanted) : wanted_(wanted) {}
    void come() {
        std::unique_lock lock{mutex_};
        most = std::max(most, ++there_);
        came_.notify_all();
        const auto met = [&] { return most >= wanted_ || gave_up_; };
        if (!came_.wait_for(lock, std::chrono::seconds{10}, met)) gave_up_ = true;
    }
    void go() {
        const std::scoped_lock lock{mutex_};
        --there_;
    }
    unsigned most = 0;

private:
    std::mutex mutex_;
    std::condition_variable came_;
    unsigned wanted_, there_ = 0;
    bool gave_up_ = false;
};

/// A pack of one raw chunk.
PackName put_pack(const TestVault& vault, std::size_t chunk_bytes) {
    const Bytes block = test::noise_block(chunk_bytes, chunk_bytes);
    OpenPack pack{*vault.core, Content::data, env::make_page_buffer(vault.core->config.pack_bytes)};
    const chunk::Payload payload{chunk::Codec::raw, block};
    std::uint32_t slot = 0;
    const auto entry = pack.reserve(vault.data_id(block), payload,
                                    static_cast<std::uint32_t>(block.size()), &slot);
    pack.seal(slot, entry, payload);
    const Bytes bytes = to_bytes(pack.complete().value());
    const PackName name = PackName::of(bytes);
    REQUIRE(vault.store.put(name.object(), bytes));
    return name;
}

}  // namespace

TEST_CASE("vault/each_pack: so many packs are read at once as memory is for, of any size") {
    CHECK(packs_at_once(default_pack_bytes) == 4);
    CHECK(packs_at_once(pack_bytes_max) == 2);
    CHECK(packs_at_once(std::uint64_t{1} << 40) == 2);  // no pack, and not read
    CHECK(packs_at_once(pack_bytes_min) == packs_at_once_max);
    CHECK(packs_at_once(1) == packs_at_once_max);
    CHECK(packs_at_once(0) == packs_at_once_max);
}

TEST_CASE("vault/each_pack: every pack comes once, side by side, into memory of its thread's own") {
    const auto packs = some_packs(40);
    Meeting meeting{packs_at_once(default_pack_bytes)};
    std::mutex mutex;
    std::multiset<PackName> seen;
    std::set<const PackMemory*> memories;
    const auto each = [&](const PackName& name, PackMemory& memory) -> Status {
        meeting.come();
        {
            const std::scoped_lock lock{mutex};
            seen.insert(name);
            memories.insert(&memory);
            CHECK(memory.pack.capacity() >= default_pack_bytes);
        }
        meeting.go();
        return {};
    };
    REQUIRE(for_each_pack(packs, default_pack_bytes, {}, each));
    CHECK(std::vector<PackName>(seen.begin(), seen.end()) == packs);
    CHECK(meeting.most == 4);
    CHECK(memories.size() == 4);
    CHECK(for_each_pack({}, 0, {}, each));
    CHECK(seen.size() == packs.size());
}

TEST_CASE("vault/each_pack: an error and a wish to stop end it") {
    test::OneFailure one;
    const auto each = [&](const PackName&, PackMemory&) { return one.work(); };
    const Status failed = for_each_pack(some_packs(40), default_pack_bytes, {}, each);
    REQUIRE_FALSE(failed);
    CHECK(failed.error().id == "test.broken");
    CHECK(one.calls() <= 4);
    env::CancelToken cancel;
    cancel.cancel();
    const unsigned before = one.calls();
    const Status stopped = for_each_pack(some_packs(40), default_pack_bytes, cancel, each);
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().id == "job.cancelled");
    CHECK(one.calls() == before);
}

TEST_CASE("vault/each_pack: packs of a local store are read into the same memory, one by one") {
    const auto folder = env::TemporaryFolder::create("/tmp", "sp-packs-").value();
    const auto open = [&folder]() -> Result<std::unique_ptr<BlockStore>> {
        SP_ASSIGN(auto store, LocalStore::open(folder.path() / "vault", env::SystemClock{}));
        return std::unique_ptr<BlockStore>{std::move(store)};
    };
    // As commands have it: behind a watch.
    const auto store = WatchedStore::open("vault", open, {}).value();
    TestVault vault{store.get()};
    const PackName small = put_pack(vault, 1000), large = put_pack(vault, 50'000);
    PackMemory memory{60'000};
    const std::size_t room = memory.pack.capacity();  // new memory would be as long as the answer
    for (const PackName& name : {small, large, small}) {
        const auto verdict = verify_pack(*vault.core, name, memory).value();
        CHECK(verdict.whole());
        CHECK(verdict.bytes_read == memory.pack.size());
        CHECK(memory.pack.capacity() == room);
    }
    // What is left of a pack does not make up for what another one lacks.
    Bytes cut = memory.pack;
    cut.pop_back();
    REQUIRE(store->remove(small.object()));
    REQUIRE(store->put(small.object(), cut));
    CHECK_FALSE(verify_pack(*vault.core, small, memory).value().whole());
    REQUIRE(store->remove(small.object()));
    CHECK(verify_pack(*vault.core, small, memory).value().missing);
}
