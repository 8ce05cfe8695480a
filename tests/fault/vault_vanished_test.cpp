// The file system under a local vault goes away between any two calls: its mount point is an empty
// folder then, or holds another vault. Nothing is written there, and nothing passes for missing.
#include <doctest/doctest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <shared_mutex>
#include <thread>

#include "base/check.hpp"
#include "env/fd.hpp"
#include "fakes/hook_store.hpp"
#include "support/vault_lab.hpp"
#include "vault/local_store.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t disk_bytes = 6 * VaultLab::chunk_bytes;

/// Another store that can be held between two calls of all its threads: a put that was under way
/// may end where the vault no longer is. @threads any
class GateStore final : public BlockStore {
public:
    explicit GateStore(BlockStore& below) : below_(below) {}
    Status put(const std::string& name, ByteView bytes) override {
        const std::shared_lock lock{gate_};
        return below_.put(name, bytes);
    }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        const std::shared_lock lock{gate_};
        return below_.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override {
        const std::shared_lock lock{gate_};
        return below_.size(name);
    }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        const std::shared_lock lock{gate_};
        return below_.list(prefix);
    }
    Status remove(const std::string& name) override {
        const std::shared_lock lock{gate_};
        return below_.remove(name);
    }
    [[nodiscard]] std::string describe() const override { return below_.describe(); }
    [[nodiscard]] std::unique_lock<std::shared_mutex> between_calls() {
        return std::unique_lock{gate_};
    }

private:
    BlockStore& below_;
    std::shared_mutex gate_;
};

/// A vault at a name that can lead elsewhere, as a mount point does.
class Mounted {
public:
    explicit Mounted(bool another_vault) {
        fs::create_directories(real_ / "vault");
        fs::create_directories(other_ / "vault");
        if (another_vault) {
            const auto stranger = LocalStore::open(other_ / "vault", clock_).value();
            const VaultLab made{*stranger};
        }
        mount(real_);
        local_ = LocalStore::open(point_ / "vault", clock_).value();
        store_.emplace(*local_);
        lab_.emplace(*store_);
        kept_ = lab_->backup({{"vda", disk_}}).value();
        elsewhere_ = files_elsewhere();
    }
    [[nodiscard]] BlockStore& store() { return *store_; }
    [[nodiscard]] VaultLab& lab() { return *lab_; }
    [[nodiscard]] const Bytes& disk() const { return disk_; }
    void go_away() {
        const auto held = store_->between_calls();
        mount(other_);
    }
    /// Where a file appears when an object is about to be written.
    [[nodiscard]] fs::path folder_of_writes() const { return real_ / "vault" / "tmp"; }
    /// Not between two calls: beside one that is under way.
    void go_away_now() { mount(other_); }
    /// Something that gc has to delete.
    void forget_something(std::uint64_t seed) {
        const auto point = lab_->backup({{"vda", test::random_disk(disk_bytes, seed)}}).value();
        REQUIRE(lab_->vault().forget(point.id));
    }
    void come_back() {
        CHECK(files_elsewhere() == elsewhere_);
        mount(real_);
        lab_->clock().pass(std::chrono::hours{3});  // whoever gave up has expired
        REQUIRE(lab_->vault().collect({}, {}, {}));
    }
    void check() {
        CHECK(lab_->read(kept_.disks.at(0)).value() == disk_);
        const auto found = lab_->vault().check(CheckDepth::read_data, {}, {}).value();
        for (const DamageFound& damage : found.damage) FAIL_CHECK(damage.text);
    }

private:
    void mount(const fs::path& target) const {
        const fs::path next = folder_.path() / "next";
        fs::create_directory_symlink(target, next);
        fs::rename(next, point_);  // at once, as mount(2) does it
    }
    [[nodiscard]] std::set<fs::path> files_elsewhere() const {
        std::set<fs::path> all;
        for (const auto& entry : fs::recursive_directory_iterator{other_}) all.insert(entry.path());
        return all;
    }

    env::TemporaryFolder folder_ = env::TemporaryFolder::create("/dev/shm", "sp-mount-").value();
    fs::path point_ = folder_.path() / "mnt", real_ = folder_.path() / "real",
             other_ = folder_.path() / "other";
    env::SystemClock clock_;
    std::unique_ptr<LocalStore> local_;
    std::optional<GateStore> store_;
    Bytes disk_ = test::random_disk(disk_bytes, 1);
    std::optional<VaultLab> lab_;
    Point kept_;
    std::set<fs::path> elsewhere_;
};

using Act = std::function<Status(VaultLab& lab)>;

/// A process that does something while its vault goes away before its call of that number.
/// @return whether it had not ended by then
bool away_at(Mounted& world, std::size_t call, const Act& act) {
    world.forget_something(call + 2);
    fakes::HookStore hooked{world.store(), fakes::at_call(call), [&] { world.go_away(); }};
    {
        auto opened = open_vault(hooked, {}, world.lab().clock());
        Status done = opened ? Status{} : Status{fail(opened.error())};
        if (opened) {
            VaultLab process{hooked, std::move(*opened)};
            VaultLab::join_time(process, world.lab());
            done = act(process);
        }
        // What was read before may be enough for the rest.
        if (!done) CHECK(done.error().id == "store.vanished");
    }
    world.come_back();
    return hooked.struck();
}

/// Waits for a new file in a folder. @threads one
class NewFile {
public:
    explicit NewFile(const fs::path& folder) : fd_(::inotify_init1(IN_CLOEXEC)) {
        REQUIRE(::inotify_add_watch(fd_.get(), folder.c_str(), IN_CREATE) >= 0);
    }
    void wait() const {
        std::array<char, 4096> event{};
        SP_CHECK(::read(fd_.get(), event.data(), event.size()) > 0);
    }

private:
    env::UniqueFd fd_;
};

/// Every call in the long form, every fifth else.
std::size_t stride() {
    const char* length = std::getenv("STILLPOINT_TEST_LENGTH");
    return length != nullptr && std::string_view{length} == "long" ? 1 : 5;
}

void sweep(const Act& act, std::size_t first) {
    for (const bool another_vault : {false, true}) {
        CAPTURE(another_vault);
        Mounted world{another_vault};
        std::size_t call = another_vault ? first : first + 2;
        while (true) {
            CAPTURE(call);
            if (!away_at(world, call, act)) break;
            call += stride();
            REQUIRE(call < 1000);
        }
        CHECK(call > 10);
        world.check();
    }
}

}  // namespace

TEST_CASE("fault/local: a vault that is unmounted during a backup") {
    std::uint64_t seed = 1000;
    sweep(
        [&](VaultLab& lab) -> Status {
            SP_TRY(lab.backup({{"vda", test::random_disk(disk_bytes, seed++)}}));
            return {};
        },
        0);
}

TEST_CASE("fault/local: a vault that is unmounted during a gc") {
    sweep(
        [](VaultLab& lab) -> Status {
            SP_TRY(lab.vault().collect({}, {}, {}));
            return {};
        },
        1);
}

TEST_CASE("fault/local: a vault that is unmounted during a check has no damage") {
    sweep(
        [](VaultLab& lab) -> Status {
            SP_ASSIGN(const CheckResult found, lab.vault().check(CheckDepth::read_data, {}, {}));
            for (const DamageFound& damage : found.damage) FAIL_CHECK(damage.text);
            return {};
        },
        2);
}

TEST_CASE("fault/local: a vault that is unmounted in the middle of a put") {
    Mounted world{false};
    const Bytes large(32u << 20, std::byte{1});
    std::size_t away = 0;
    for (int tries = 0; tries < 100 && away < 3; ++tries) {
        const NewFile file{world.folder_of_writes()};
        std::jthread unmount{[&] {
            file.wait();
            world.go_away_now();
        }};
        const Status put = world.store().put("packs/x" + std::to_string(tries), large);
        unmount.join();
        if (!put) CHECK(put.error().id == "store.vanished");
        away += put ? 0 : 1;  // the other thread may come too late
        world.come_back();
    }
    CHECK(away == 3);
}

TEST_CASE("fault/local: a vault that was mounted again is the same one") {
    Mounted world{true};
    world.go_away();
    CHECK(world.store().list("points/").error().id == "store.vanished");
    CHECK(world.store().put("points/x", {}).error().id == "store.vanished");
    CHECK(world.store().size("points/x").error().id == "store.vanished");
    CHECK(world.store().get("points/x", ByteOffset{0}, ByteCount{1}).error().id ==
          "store.vanished");
    CHECK(world.store().remove("points/x").error().id == "store.vanished");
    world.come_back();
    world.check();
}
