// How gc removes packs from a store that takes several calls at once, and what stays in order.
#include <doctest/doctest.h>

#include <condition_variable>

#include "support/one_failure.hpp"
#include "support/vault_lab.hpp"
#include "vault/gc/remove_packs.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;

namespace {

/// An object store. The first removals of packs wait until as many are under way as it takes at
/// once, or give up.
class CrowdedStore final : public BlockStore {
public:
    static constexpr unsigned at_once = 4;

    Status put(const std::string& name, ByteView bytes) override {
        note("put " + name);
        return memory.put(name, bytes);
    }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        return memory.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override { return memory.size(name); }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        return memory.list(prefix);
    }
    Status remove(const std::string& name) override {
        note("remove " + name);
        if (!name.starts_with("packs/")) return memory.remove(name);
        meet();
        const Status removed = broken ? fail(Errc::io, "test.broken", "no answer") : Status{};
        if (removed) SP_TRY(memory.remove(name));
        const std::scoped_lock lock{mutex_};
        --under_way_;
        return removed;
    }
    [[nodiscard]] std::string describe() const override { return "crowded"; }
    [[nodiscard]] unsigned calls_at_once() const override { return at_once; }
    /// The number of the first call that begins so, from `from` on.
    [[nodiscard]] std::size_t find(const std::string& call, std::size_t from = 0) const {
        for (std::size_t at = from; at < calls.size(); ++at) {
            if (calls[at].starts_with(call)) return at;
        }
        return calls.size();
    }
    [[nodiscard]] std::size_t count(const std::string& call) const {
        return static_cast<std::size_t>(
            std::count_if(calls.begin(), calls.end(),
                          [&](const std::string& made) { return made.starts_with(call); }));
    }

    MemoryStore memory;
    std::vector<std::string> calls;      // that change something; read while none is under way
    std::function<void()> when_crowded;  // called once, before any of the removals has ended
    bool broken = false;
    unsigned most = 0;  // removals of packs that were under way at once

private:
    void note(std::string call) {
        const std::scoped_lock lock{mutex_};
        calls.push_back(std::move(call));
    }
    void meet() {
        std::unique_lock lock{mutex_};
        most = std::max(most, ++under_way_);
        if (most == at_once && when_crowded) std::exchange(when_crowded, nullptr)();
        came_.notify_all();
        const auto crowded = [&] { return most >= at_once || gave_up_; };
        if (!came_.wait_for(lock, std::chrono::seconds{10}, crowded)) gave_up_ = true;
    }
    std::mutex mutex_;
    std::condition_variable came_;
    unsigned under_way_ = 0;
    bool gave_up_ = false;
};

/// A vault of which most is nobody's any more: eight packs of four points.
struct Forgotten {
    CrowdedStore store;
    VaultLab lab{store};
    Point kept;

    Forgotten() {
        store.memory.keep_times(lab.clock());
        std::vector<PointId> points;
        for (std::uint64_t seed = 1; seed <= 4; ++seed) points.push_back(backup(seed).id);
        kept = backup(5);
        for (const PointId& id : points) REQUIRE(lab.vault().forget(id));
        store.calls.clear();
    }
    Point backup(std::uint64_t seed) {
        std::mt19937_64 random{seed};
        Bytes disk(4 * VaultLab::chunk_bytes);
        for (std::byte& byte : disk) byte = static_cast<std::byte>(random());
        return lab.backup({{"vda", disk}}).value();
    }
    std::size_t packs() { return store.list("packs/").value().size(); }
};

}  // namespace

TEST_CASE("vault/gc: packs are removed several at a time, between the index and the mark") {
    Forgotten vault;
    CrowdedStore& store = vault.store;
    REQUIRE(vault.packs() == 10);
    CHECK(vault.lab.vault().collect({}, {}, {}).value().freed_packs == 8);
    CHECK(store.most == CrowdedStore::at_once);
    CHECK(vault.packs() == 2);
    // The order that docs/gc.md states: index, old segments, all packs, the mark.
    REQUIRE(store.count("remove packs/") == 8);
    const std::size_t first = store.find("remove packs/");
    CHECK(store.find("put index/") < store.find("remove index/"));
    CHECK(store.find("remove index/") < first);
    for (std::size_t at = first; at < first + 8; ++at) {
        CHECK(store.calls.at(at).starts_with("remove packs/"));
    }
    CHECK(store.find("remove condemned/") >= first + 8);
    CHECK(store.count("remove condemned/") == 1);
    CHECK(vault.lab.read(vault.kept.disks.at(0)));
}

TEST_CASE("vault/gc: a wish to stop ends the removals with those under way") {
    Forgotten vault;
    CrowdedStore& store = vault.store;
    env::CancelToken cancel;
    store.when_crowded = [&] { cancel.cancel(); };
    const auto stopped = vault.lab.vault().collect({}, {}, cancel);
    REQUIRE_FALSE(stopped);
    CHECK(stopped.error().id == "job.cancelled");
    CHECK(store.count("remove packs/") == CrowdedStore::at_once);
    CHECK(vault.packs() == 10 - CrowdedStore::at_once);
    CHECK(store.list("condemned/").value().size() == 1);  // a gc knows what was left
    CHECK(vault.lab.vault().collect({}, {}, {}));
    CHECK(vault.packs() == 2);
    CHECK(vault.lab.read(vault.kept.disks.at(0)));
}

TEST_CASE("vault/gc: removals that fail leave the mark, and the next gc goes on") {
    Forgotten vault;
    CrowdedStore& store = vault.store;
    store.broken = true;
    const auto failed = vault.lab.vault().collect({}, {}, {});
    REQUIRE_FALSE(failed);
    CHECK(failed.error().id == "test.broken");
    CHECK(store.count("remove packs/") == CrowdedStore::at_once);
    CHECK(store.list("condemned/").value().size() == 1);
    store.broken = false;
    CHECK(vault.lab.vault().collect({}, {}, {}));
    CHECK(vault.packs() == 2);
    CHECK(store.list("condemned/").value().empty());
}

TEST_CASE("vault/gc: the first removal that fails ends the others") {
    CrowdedStore store;
    std::vector<PackName> packs(40);
    test::OneFailure one;
    const Status removed = gc::remove_packs(store, packs, [&] { return one.work(); });
    REQUIRE_FALSE(removed);
    CHECK(removed.error().id == "test.broken");
    CHECK(one.calls() <= CrowdedStore::at_once);
}
