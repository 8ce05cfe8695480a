// What a store that is far away is asked: each call is a round trip, and those side by side are
// one.
#include <doctest/doctest.h>

#include <condition_variable>
#include <map>

#include "support/vault_damage.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;

namespace {

constexpr unsigned at_once = 16;
constexpr std::size_t points = 20;
constexpr std::size_t block = VaultLab::chunk_bytes;

/// Notes what it is asked. Calls of one kind can be made to wait for each other.
class FarStore final : public BlockStore {
public:
    explicit FarStore(BlockStore& below) : below_(below) {}
    Status put(const std::string& name, ByteView bytes) override { return below_.put(name, bytes); }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        note("get " + name);
        return below_.get(name, at, length);
    }
    Result<ObjectEnd> get_end(const std::string& name, ByteCount most) override {
        note("end " + name);
        return below_.get_end(name, most);
    }
    Result<ByteCount> size(const std::string& name) override {
        note("size " + name);
        return below_.size(name);
    }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        return below_.list(prefix);
    }
    Status remove(const std::string& name) override { return below_.remove(name); }
    [[nodiscard]] std::string describe() const override { return "far"; }
    [[nodiscard]] unsigned calls_at_once() const override { return at_once; }

    /// The first `at_once` calls that begin so go on once all of them are there.
    void meet(std::string start) {
        const std::scoped_lock lock{mutex_};
        meeting_ = std::move(start);
        met_ = 0;
    }
    [[nodiscard]] bool have_met() const {
        const std::scoped_lock lock{mutex_};
        return met_ >= at_once;
    }
    [[nodiscard]] std::size_t asked(const std::string& start) const {
        const std::scoped_lock lock{mutex_};
        std::size_t sum = 0;
        for (const auto& [call, times] : asked_) sum += call.starts_with(start) ? times : 0;
        return sum;
    }
    /// Of calls whose text is otherwise the same.
    [[nodiscard]] std::size_t most_often(const std::string& start) const {
        const std::scoped_lock lock{mutex_};
        std::size_t most = 0;
        for (const auto& [call, times] : asked_) {
            if (call.starts_with(start)) most = std::max(most, times);
        }
        return most;
    }

private:
    void note(const std::string& call) {
        std::unique_lock lock{mutex_};
        ++asked_[call];
        if (meeting_.empty() || !call.starts_with(meeting_)) return;
        ++met_;
        arrived_.notify_all();
        arrived_.wait_for(lock, std::chrono::seconds{10}, [&] { return met_ >= at_once; });
    }
    BlockStore& below_;
    mutable std::mutex mutex_;
    std::condition_variable arrived_;
    std::string meeting_;
    unsigned met_ = 0;
    std::map<std::string, std::size_t> asked_;
};

/// A disk of many blocks, of which each backup changes some: map nodes are stored as differences.
struct World {
    World() {
        std::vector<VaultLab::Disk> disks{{"vda", test::random_disk(200 * block, 1)}};
        last = lab.backup(disks).value();
        for (std::size_t i = 1; i < points; ++i) {
            const auto before = disks;
            for (const std::size_t at : {3 * i, 70 + i, 190 - i}) {
                std::fill_n(disks[0].content.begin() + static_cast<std::ptrdiff_t>(at * block),
                            block, static_cast<std::byte>(i));
            }
            const Point parent = last;
            last = lab.backup(disks, &parent, &before).value();
        }
        content = disks[0].content;
    }
    MemoryStore store;
    VaultLab lab{store};
    Point last;
    Bytes content;
};

}  // namespace

TEST_CASE("vault/far: segments of the index come side by side, each by one call") {
    World world;
    FarStore far{world.store};
    far.meet("get index/");
    VaultLab lab{far};
    CHECK(far.have_met());
    CHECK(far.asked("get index/") == points);
    CHECK(far.asked("size index/") == 0);
    CHECK(lab.read(world.last.disks[0]).value() == world.content);
}

TEST_CASE(
    "vault/far: a damaged segment among those that come together is named, the others serve") {
    World world;
    const std::string damaged = world.store.list("index/").value().at(7).name;
    test::flip(world.store, damaged, 5000);
    FarStore far{world.store};
    VaultLab lab{far};
    const auto checked = lab.vault().check(CheckDepth::structure, {}, {}).value();
    const auto named = std::ranges::count_if(checked.damage, [&](const DamageFound& found) {
        return found.text.find(damaged) != std::string::npos;
    });
    CHECK(named > 0);
    CHECK(lab.vault().points().value().size() == points);
}

TEST_CASE("vault/far: a point costs one call, and so does the copy that a check looks at") {
    World world;
    FarStore far{world.store};
    VaultLab lab{far};
    far.meet("end points/");
    CHECK(lab.vault().points().value().size() == points);
    CHECK(far.have_met());
    CHECK(far.asked("end points/") == points);
    CHECK(far.asked("get points/") + far.asked("size points/") == 0);
    far.meet("end copies/");
    CHECK(lab.vault().check(CheckDepth::structure, {}, {}).value().damage.empty());
    CHECK(far.have_met());
    CHECK(far.asked("end copies/") == points);
}

TEST_CASE("vault/far: nodes of a map come together, those that are differences too") {
    World world;
    FarStore far{world.store};
    VaultLab lab{far};
    CHECK(lab.vault().check(CheckDepth::structure, {}, {}).value().damage.empty());
    CHECK(far.most_often("end packs/") == 1);
    CHECK(far.asked("size packs/") == 0);
    // The first node, and the window that the second one brings.
    CHECK(far.most_often("get packs/") <= 2);
}
