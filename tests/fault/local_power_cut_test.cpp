// The power goes at every single call that a folder's vault makes to the kernel, and the disk keeps
// what it likes of all that was not synced: names without bytes, bytes without names, either in any
// order. A backup, an increment, forgetting and gc are recorded once, and each state that a disk
// may be in is looked at.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

#include "fakes/hook_store.hpp"
#include "fakes/power_journal.hpp"
#include "support/vault_lab.hpp"
#include "vault/local_store.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using fakes::PowerJournal;
using test::VaultLab;

namespace {

using Names = PowerJournal::Leave::Names;
using Data = PowerJournal::Leave::Data;
constexpr std::size_t never = ~std::size_t{0};
constexpr std::size_t block = VaultLab::chunk_bytes;

/// A point, and when (in calls of the kernel) what was said of it.
struct Told {
    PointId id;
    DiskRoot root;
    Bytes content;
    std::size_t published = never;
    std::size_t forgetting = never, forgotten = never;
};

/// One vault's life in a real folder.
class Story {
public:
    explicit Story(PowerJournal::Rename rename) : journal_(folder_.path(), rename) {
        store_ = LocalStore::open(folder_.path() / "vault", clock_).value();
        lab_.emplace(*store_);
        made_ = journal_.calls();
    }
    [[nodiscard]] const PowerJournal& journal() const { return journal_; }
    [[nodiscard]] std::size_t made() const { return made_; }
    [[nodiscard]] const std::vector<Told>& points() const { return points_; }
    [[nodiscard]] VaultLab& lab() { return *lab_; }
    /// What the disk holds of the vault's objects.
    [[nodiscard]] PowerJournal::Disk after_cut(std::size_t calls,
                                               const PowerJournal::Leave& leave) const {
        PowerJournal::Disk objects;
        const std::string tmp = "vault/tmp/", root = "vault/";
        for (auto& [path, bytes] : journal_.after_cut(calls, leave)) {
            if (!path.starts_with(tmp)) objects[path.substr(root.size())] = bytes;
        }
        return objects;
    }

    void back_up(const Bytes& content, const Told* parent = nullptr) {
        Point before;
        std::vector<VaultLab::Disk> had;
        if (parent != nullptr) {
            before.disks = {parent->root};
            had = {{"vda", parent->content}};
        }
        const auto point =
            lab_->backup({{"vda", content}}, parent ? &before : nullptr, parent ? &had : nullptr);
        REQUIRE(point);
        points_.push_back({point->id, point->disks.at(0), content, journal_.calls()});
    }
    void forget(std::size_t at) {
        points_.at(at).forgetting = journal_.calls();
        REQUIRE(lab_->vault().forget(points_.at(at).id));
        points_.at(at).forgotten = journal_.calls();
    }
    /// Who forgets it is killed between the end of the name and the folder's sync.
    void forget_until_killed(std::size_t at) {
        struct Killed {};
        Told& told = points_.at(at);
        const std::string name = "points/" + told.id;
        fakes::HookStore killing{*store_,
                                 [&](const std::string& call) { return call == "remove " + name; },
                                 [&] {
                                     ::unlink((folder_.path() / "vault" / name).c_str());
                                     throw Killed{};
                                 }};
        told.forgetting = journal_.calls();
        const auto vault = open_vault(killing, {}, lab_->clock()).value();
        CHECK_THROWS_AS((void)vault->forget(told.id), Killed);
    }
    void collect() { REQUIRE(lab_->vault().collect({}, {}, {}).value().freed_packs > 0); }

private:
    env::TemporaryFolder folder_ = env::TemporaryFolder::create("/dev/shm", "sp-power-").value();
    env::SystemClock clock_;
    PowerJournal journal_;
    std::unique_ptr<LocalStore> store_;
    std::optional<VaultLab> lab_;
    std::size_t made_ = 0;
    std::vector<Told> points_;
};

void live(Story& story) {
    Bytes disk = test::random_disk(9 * block, 1);
    story.back_up(disk);
    Bytes changed = disk;
    for (std::size_t at = 0; at < 5; ++at) changed[at * block + 7] ^= std::byte{1};
    std::fill_n(changed.begin() + 6 * block, block, std::byte{0x55});
    story.back_up(changed, &story.points().at(0));
    story.back_up(test::random_disk(4 * block, 3));
    story.forget(0);
    story.forget(2);
    story.collect();  // deletes packs, and empties the one that the second point needs a little of
    story.back_up(disk);
    story.forget(3);
    story.collect();
}

/// The vault is sound, and has exactly the points that it must and may have.
void check_points(VaultLab& lab, const Story& story, std::size_t cut) {
    const auto listed = lab.vault().points().value();
    for (const Told& told : story.points()) {
        const bool there = std::ranges::find(listed, told.id, &Point::id) != listed.end();
        if (cut >= told.published && cut < told.forgetting) CHECK(there);
        if (cut >= told.forgotten) CHECK_FALSE(there);
        if (there) CHECK(lab.read(told.root).value() == told.content);
    }
    const auto checked = lab.vault().check(CheckDepth::read_data, {}, {}).value();
    for (const DamageFound& found : checked.damage) FAIL_CHECK(found.text);
}

void go_on(VaultLab& lab, const Bytes& content) {
    const auto point = lab.backup({{"vda", content}});
    REQUIRE(point);
    lab.clock().pass(std::chrono::hours{3});  // whoever died has expired
    REQUIRE(lab.vault().collect({}, {}, {}));
    REQUIRE(lab.vault().collect({}, {}, {}));
    CHECK(lab.read(point->disks.at(0)).value() == content);
    const auto checked = lab.vault().check(CheckDepth::read_data, {}, {}).value();
    for (const DamageFound& found : checked.damage) FAIL_CHECK(found.text);
}

/// One disk after the cut. @param number of the disk: each few of them the vault is used on
void look(const PowerJournal::Disk& disk, const Story& story, std::size_t cut, std::size_t number) {
    MemoryStore store;
    for (const auto& [name, bytes] : disk) REQUIRE(store.put(name, *bytes));
    if (cut < story.made() && !store.size("config")) return;  // no vault yet
    VaultLab lab{store};
    check_points(lab, story, cut);
    constexpr std::size_t used_each = 8;
    if (number % used_each == 0) go_on(lab, story.points().at(0).content);
}

/// Tells disks apart. @threads one
class Keys {
public:
    std::string of(const PowerJournal::Disk& disk) {
        std::string key;
        for (const auto& [name, bytes] : disk) key += name + std::to_string(hash(bytes)) + " ";
        return key;
    }

private:
    std::size_t hash(const std::shared_ptr<const Bytes>& bytes) {
        const auto [at, fresh] = hashes_.emplace(bytes, 0);
        if (fresh) at->second = std::hash<std::string_view>{}(as_text(*bytes));
        return at->second;
    }
    std::map<std::shared_ptr<const Bytes>, std::size_t> hashes_;  // keeps what it knows
};

bool long_form() {
    const char* length = std::getenv("STILLPOINT_TEST_LENGTH");
    return length != nullptr && std::string_view{length} == "long";
}

/// @param each only each of so many states is looked at; all of them in the long form
void sweep(const Story& story, std::size_t each) {
    if (long_form()) each = 1;
    std::set<std::string> seen;
    Keys keys;
    for (std::size_t cut = 1; cut <= story.journal().calls(); ++cut) {
        CAPTURE(cut);
        if (!story.journal().matters(cut)) continue;
        for (const PowerJournal::Leave& what : {PowerJournal::Leave{Names::none, Data::none},
                                                {Names::all, Data::none},
                                                {Names::all, Data::torn},
                                                {Names::some, Data::some},
                                                {Names::some, Data::all}}) {
            CAPTURE(static_cast<int>(what.names));
            CAPTURE(static_cast<int>(what.data));
            const auto disk = story.after_cut(cut, {what.names, what.data, cut * 7 + 1});
            if (!seen.insert(keys.of(disk)).second || seen.size() % each != 0) continue;
            look(disk, story, cut, seen.size() / each);
        }
    }
    CHECK(seen.size() > 10);
}

}  // namespace

TEST_CASE("fault/local: power lost at every call to the kernel, whatever the disk kept") {
    Story story{PowerJournal::Rename::known};
    live(story);
    sweep(story, 2);
    CHECK(story.journal().calls() > 200);
}

TEST_CASE("fault/local: the same where names are given by links, as on NFS, and answers are lost") {
    Story story{PowerJournal::Rename::link_unanswered};
    live(story);
    sweep(story, 10);
}

TEST_CASE("fault/local: a point whose forgetting was cut short never returns without its data") {
    Story story{PowerJournal::Rename::known};
    story.back_up(test::random_disk(4 * block, 5));
    story.forget_until_killed(0);
    story.collect();
    sweep(story, 1);
}

TEST_CASE(
    "fault/local: folders that somebody made, and did not sync, are no place to lose things") {
    const env::TemporaryFolder folder =
        env::TemporaryFolder::create("/dev/shm", "sp-power-").value();
    const PowerJournal journal{folder.path()};
    for (const char* made : {"vault", "vault/packs", "vault/packs/ab"}) {
        REQUIRE(::mkdir((folder.path() / made).c_str(), 0700) == 0);
    }
    const env::SystemClock clock;
    const auto store = LocalStore::open(folder.path() / "vault", clock).value();
    REQUIRE(store->put("packs/ab/abcd", as_bytes("bytes")));
    const auto disk = journal.after_cut(journal.calls(), {});
    REQUIRE(disk.contains("vault/packs/ab/abcd"));
    CHECK(as_text(*disk.at("vault/packs/ab/abcd")) == "bytes");
}
