// The power fails at every request of a whole backup, before and after it took effect (I1).
#include <doctest/doctest.h>

#include "fakes/fault_store.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using fakes::Fault;
using fakes::FaultStore;
using test::random_disk;
using test::VaultLab;

namespace {

constexpr std::size_t block = VaultLab::chunk_bytes;

struct Story {
    std::vector<VaultLab::Disk> first{{"vda", random_disk(40 * block, 1)},
                                      {"vdb", random_disk(2 * block + 9, 2)}};
    std::vector<VaultLab::Disk> second = [this] {
        auto disks = first;
        std::fill_n(disks[0].content.begin() + 3 * block, 2 * block, std::byte{0x77});
        std::fill_n(disks[0].content.begin() + 9 * block, block, std::byte{0});
        test::touch(disks[0].content, 20);  // stored as a difference from the first point's
        return disks;
    }();
};

void expect_content(VaultLab& lab, const Point& point, const std::vector<VaultLab::Disk>& disks) {
    for (std::size_t at = 0; at < disks.size(); ++at) {
        REQUIRE(lab.read(point.disks[at]).value() == disks[at].content);
    }
}

/// The second backup meets the fault at `call`. @return whether the fault came at all
bool survive(const Story& story, Fault fault, std::size_t call) {
    CAPTURE(call);
    MemoryStore store;
    VaultLab before{store};
    const Point first = before.backup(story.first).value();

    FaultStore failing{store, fault, call};
    auto vault = open_vault(failing, {}, before.clock());
    Result<Point> second = fail(Errc::io, "test.not_opened", "");
    if (vault) {
        VaultLab during{failing, std::move(*vault)};
        during.clock().pass(std::chrono::seconds{1});  // ids follow the clock
        second = during.backup(story.second, &first, &story.first);
    }
    if (!failing.struck()) REQUIRE(second);

    // The power is back: what is listed is whole, and it is the old or the old and the new.
    VaultLab after{store};
    after.clock().pass(std::chrono::seconds{2});
    const auto points = after.vault().points().value();
    REQUIRE((points.size() == 1 || points.size() == 2));
    if (second) REQUIRE(points.size() == 2);
    expect_content(after, points[0], story.first);
    if (points.size() == 2) expect_content(after, points[1], story.second);
    const auto checked = after.vault().check(CheckDepth::read_data, {}, {}).value();
    for (const DamageFound& found : checked.damage) MESSAGE(found.text);
    REQUIRE(checked.damage.empty());

    // The next run needs no manual step.
    const Point next = after.backup(story.second, &first, &story.first).value();
    expect_content(after, next, story.second);
    return failing.struck();
}

}  // namespace

TEST_CASE("fault/vault: a backup cut at every request leaves whole points and the next run works") {
    const Story story;
    for (const Fault fault :
         {Fault::cut, Fault::cut_after, Fault::fail, Fault::full, Fault::lost}) {
        CAPTURE(static_cast<int>(fault));
        std::size_t call = 0;
        while (survive(story, fault, call)) ++call;
        CHECK(call > 10);  // the sweep saw a whole backup
    }
}

TEST_CASE("fault/vault: a point is put only after everything that it names") {
    /// Notes the order in which objects appear.
    class Recorder final : public BlockStore {
    public:
        explicit Recorder(BlockStore& below) : below_(below) {}
        Status put(const std::string& name, ByteView bytes) override {
            SP_TRY(below_.put(name, bytes));
            const std::scoped_lock lock{mutex_};
            order.push_back(name.substr(0, name.find('/')));
            return {};
        }
        Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
            return below_.get(name, at, length);
        }
        Result<ByteCount> size(const std::string& name) override { return below_.size(name); }
        Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
            return below_.list(prefix);
        }
        Status remove(const std::string& name) override { return below_.remove(name); }
        [[nodiscard]] std::string describe() const override { return below_.describe(); }
        std::vector<std::string> order;

    private:
        BlockStore& below_;
        std::mutex mutex_;
    };
    MemoryStore memory;
    { const VaultLab make{memory}; }
    Recorder store{memory};
    VaultLab lab{store};
    REQUIRE(lab.backup({{"vda", random_disk(40 * block, 1)}}));
    REQUIRE(store.order.size() >= 5);
    CHECK(store.order.front() == "runs");
    CHECK(store.order.back() == "copies");
    CHECK(store.order.at(store.order.size() - 2) == "points");
    const auto last_pack = std::find(store.order.rbegin(), store.order.rend(), "packs");
    const auto first_index = std::find(store.order.begin(), store.order.end(), "index");
    CHECK(last_pack.base() <= first_index);
}
