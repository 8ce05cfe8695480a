#include "freeze/plan.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace std::chrono_literals;

namespace {

/// Mounts below a root on 254:1; each as "device root point type super-options [parent]".
class World {
public:
    World() { line("254:1 / / ext4 rw", 0); }
    World& mount(const std::string& text, int parent = 10) {
        line(text, parent);
        return *this;
    }
    World& device(const char* id, BlockDevice device) {
        facts.devices[*DeviceId::parse(id)] = std::move(device);
        return *this;
    }
    Result<FreezePlan> plan(FreezeRules rules = {}) const {
        return plan_freeze(table(), facts, rules, scan);
    }
    MountTable table() const { return MountTable::parse(text_).value(); }
    SysfsFacts facts;
    ProcessScan scan;

private:
    void line(const std::string& text, int parent) {
        const auto word = [&](std::size_t number) {
            std::size_t at = 0;
            for (; number > 0; --number) at = text.find(' ', at) + 1;
            return text.substr(at, text.find(' ', at) - at);
        };
        text_ += std::to_string(next_id_++) + " " + std::to_string(parent) + " " + word(0) + " " +
                 word(1) + " " + word(2) + " rw - " + word(3) + " /dev/x " + word(4) + "\n";
    }
    std::string text_;
    int next_id_ = 10;
};

std::string order(const FreezePlan& plan) {
    std::string text;
    for (const Target& target : plan.targets) {
        text += std::to_string(target.level) + target.name + " ";
    }
    return text;
}

Pattern path(std::string text) {
    return {Pattern::By::path, std::move(text)};
}

FreezeRules without(std::vector<Pattern> exclude) {
    return {.exclude = std::move(exclude)};
}

BlockDevice loop(std::string file) {
    return {"loop", {}, std::move(file)};
}

BlockDevice over(std::vector<DeviceId> below) {
    return {"dm", std::move(below), {}};
}

}  // namespace

TEST_CASE("guest-linux/plan: each writable block filesystem once, nothing else") {
    World world;
    world.mount("254:16 / /data xfs rw")
        .mount("254:16 /part /bind xfs rw")
        .mount("0:25 /@ /sub1 btrfs rw")
        .mount("0:25 /@2 /sub2 btrfs rw")
        .mount("0:30 / /tmp tmpfs rw")
        .mount("0:31 / /net nfs4 rw")
        .mount("0:32 / /sshfs fuse.sshfs rw")
        .mount("7:0 / /snap squashfs ro")
        .mount("254:32 / /cold ext4 ro");
    const FreezePlan plan = world.plan().value();
    CHECK(order(plan) == "0/ 0/data 0/sub1 ");
    CHECK(plan.targets[1].candidates.size() == 2);
    CHECK(plan.targets[1].candidates[0].mount.point == "/data");
    CHECK(plan.read_only == std::vector<std::string>{"/snap", "/cold"});
    CHECK(plan.uncovered.empty());
}

TEST_CASE("guest-linux/plan: a block filesystem served by a program is named, never opened") {
    const FreezePlan plan = World{}.mount("254:48 / /ntfs fuseblk rw").plan().value();
    CHECK(order(plan) == "0/ ");
    REQUIRE(plan.uncovered.size() == 1);
    CHECK(plan.uncovered[0].name == "/ntfs");
}

TEST_CASE("guest-linux/plan: exclusion works through any mount point of the filesystem") {
    World world;
    world.mount("254:16 / /data xfs rw").mount("254:16 /part /bind xfs rw");
    const FreezePlan plan = world.plan(without({path("/bind"), path("/nowhere")})).value();
    CHECK(order(plan) == "0/ ");
    REQUIRE(plan.uncovered.size() == 1);
    CHECK(plan.uncovered[0].excluded);
    CHECK(plan.uncovered[0].name == "/data");
    CHECK(plan.unmatched == std::vector<std::string>{"path=\"/nowhere\""});
}

TEST_CASE("guest-linux/plan: what lies on a loop device is frozen before what holds its file") {
    World world;
    world.mount("254:16 / /base xfs rw")
        .mount("7:1 / /upper ext4 rw")
        .mount("253:0 / /top ext4 rw")
        .device("7:1", loop("/base/image"))
        .device("7:2", loop("/upper/dir/image (deleted)"))
        .device("253:1", over({{7, 2}}))
        .device("253:0", over({{253, 1}}));
    CHECK(order(world.plan().value()) == "2/top 1/upper 0/ 0/base ");
    // An excluded one in between still orders the others.
    CHECK(order(world.plan(without({path("/upper")})).value()) == "2/top 0/ 0/base ");
}

TEST_CASE("guest-linux/plan: a file on an overlay lies on the overlay's upper filesystem") {
    World world;
    world.mount("254:16 / /base xfs rw")
        .mount("0:50 / /merged overlay rw,lowerdir=/l,upperdir=/base/upper,workdir=/base/work")
        .mount("7:1 / /upper ext4 rw")
        .device("7:1", loop("/merged/image"));
    CHECK(order(world.plan().value()) == "1/upper 0/ 0/base ");
}

TEST_CASE("guest-linux/plan: partitions and btrfs members lead to what lies below") {
    World world;
    world.mount("254:16 / /base xfs rw")
        .mount("259:0 / /part ext4 rw")
        .mount("0:60 / /many btrfs rw")
        .device("259:0", over({{7, 1}}))
        .device("7:1", loop("/base/a"))
        .device("7:3", loop("/base/b"));
    world.facts.members[{0, 60}] = {{254, 64}, {7, 3}};
    const FreezePlan plan = world.plan().value();
    CHECK(order(plan) == "1/many 1/part 0/ 0/base ");
    CHECK(plan.targets[0].stat_devices == std::vector<DeviceId>{{254, 64}, {7, 3}});
    CHECK(plan.targets[1].stat_devices == std::vector<DeviceId>{{259, 0}});
}

TEST_CASE("guest-linux/plan: a circle of loop devices is refused, the rest is frozen") {
    World world;
    world.mount("7:1 / /a ext4 rw")
        .mount("7:2 / /b ext4 rw")
        .device("7:1", loop("/b/image"))
        .device("7:2", loop("/a/image"));
    const FreezePlan plan = world.plan().value();
    CHECK(order(plan) == "0/ ");
    REQUIRE(plan.uncovered.size() == 2);
    CHECK(plan.uncovered[0].note.find("circle") != std::string::npos);
}

TEST_CASE("guest-linux/plan: a backing file that cannot be located refuses its filesystem") {
    World world;
    world.mount("7:1 / /a ext4 rw").device("7:1", loop("gone"));
    const FreezePlan plan = world.plan().value();
    CHECK(order(plan) == "0/ ");
    CHECK(plan.uncovered.at(0).name == "/a");
}

TEST_CASE("guest-linux/plan: a suspended device refuses the whole freeze, unless excluded") {
    World world;
    world.mount("253:0 / /lv ext4 rw").device("253:0", {"dm-0", {}, {}, true});
    CHECK(world.plan().error().id == "freeze.suspended");
    CHECK(world.plan(without({path("/lv")})));
}

TEST_CASE(
    "guest-linux/plan: a hidden mount is looked under, a way through a network is not taken") {
    World world;
    world
        .mount("254:16 / /cover xfs rw")      // id 11
        .mount("0:30 / /cover tmpfs rw", 11)  // id 12 covers it
        .mount("0:31 / /net nfs rw")          // id 13
        .mount("254:32 / /net/disk ext4 rw", 13);
    const FreezePlan plan = world.plan().value();
    CHECK(order(plan) == "0/ 0/cover (hidden) ");
    CHECK(plan.targets[1].candidates[0].reach == Candidate::Reach::hidden);
    REQUIRE(plan.uncovered.size() == 1);
    CHECK(plan.uncovered[0].note == "reachable only through /net (nfs)");
}

TEST_CASE("guest-linux/plan: of 300 bind mounts some are kept, the visible ones first") {
    World world;
    world.mount("254:16 / /data xfs rw");
    for (int i = 0; i < 300; ++i) world.mount("254:16 /part /b" + std::to_string(i) + " xfs rw");
    world.mount("0:30 / /b0 tmpfs rw", 12);
    const FreezePlan plan = world.plan().value();
    CHECK(order(plan) == "0/ 0/data ");
    CHECK(plan.targets[1].candidates.size() == 8);
    CHECK(plan.targets[1].candidates[0].mount.point == "/data");
    for (const Candidate& candidate : plan.targets[1].candidates) {
        CHECK(candidate.reach == Candidate::Reach::path);
        CHECK(candidate.mount.point != "/b0");
    }
}

TEST_CASE("guest-linux/plan: a filesystem of another namespace alone is opened through it") {
    World world;
    World other;
    other.mount("254:16 / /data xfs rw").mount("254:32 / /opt/x ext4 rw");
    MountTable table = other.table();
    table.seen_through("/proc/77/root");
    world.scan.namespaces.push_back({77, "db", table});
    const FreezePlan plan = world.plan().value();
    CHECK(order(plan) == "0/ 0/data (in db, pid 77) 0/opt/x (in db, pid 77) ");
    CHECK(plan.targets[1].candidates.at(0).mount.via == "/proc/77/root");
    CHECK(plan.targets[0].candidates.at(0).mount.via.empty());
    // A rule sees the path that holds there.
    CHECK(order(world.plan(without({path("/data"), path("/opt/x")})).value()) == "0/ ");
}

TEST_CASE("guest-linux/plan: what is mounted nowhere but in use is frozen or named") {
    World world;
    world.device("254:16", {"vdb", {}, {}}).device("254:32", {"vdc", {}, {}});
    world.facts.live = {{{254, 1}, "ext4"}, {{254, 16}, "xfs"}, {{254, 32}, "ext4"}};
    world.scan.handles = {{"/proc/9/fd/3", {254, 16}}};
    const FreezePlan plan = world.plan().value();
    CHECK(order(plan) == "0/ 0/dev/vdb (mounted nowhere) ");
    CHECK(plan.targets[1].candidates.at(0).reach == Candidate::Reach::handle);
    REQUIRE(plan.uncovered.size() == 1);
    CHECK(plan.uncovered[0].name == "/dev/vdc (mounted nowhere)");
    CHECK(!plan.uncovered[0].excluded);
}

TEST_CASE("guest-linux/plan: rules by glob, UUID, label and type; the root as any other") {
    World world;
    world.mount("254:16 / /mnt/a xfs rw")
        .mount("254:32 / /mnt/b ext4 rw")
        .mount("254:48 / /mnt/b/c vfat rw", 12);
    world.facts.identities[{254, 32}] = {"0a0b-CD", "backup disk"};
    using By = Pattern::By;
    const auto left = [&](const Pattern& rule) {
        return order(world.plan(without({rule})).value());
    };
    CHECK(left({By::glob, "/mnt/*"}) == "0/ 0/mnt/b/c ");
    CHECK(left({By::glob, "/mnt/*/c"}) == "0/ 0/mnt/a 0/mnt/b ");
    CHECK(left({By::uuid, "0A0B-cd"}) == "0/ 0/mnt/a 0/mnt/b/c ");
    CHECK(left({By::label, "backup disk"}) == "0/ 0/mnt/a 0/mnt/b/c ");
    CHECK(left({By::label, "backup"}) == "0/ 0/mnt/a 0/mnt/b 0/mnt/b/c ");
    CHECK(left({By::type, "ext4"}) == "0/mnt/a 0/mnt/b/c ");
    CHECK(left(path("/")) == "0/mnt/a 0/mnt/b 0/mnt/b/c ");
}

TEST_CASE("guest-linux/plan: with includes all else is excluded, and exclude wins") {
    World world;
    world.mount("254:16 / /mnt/a xfs rw").mount("254:32 / /mnt/b ext4 rw");
    FreezeRules rules;
    rules.include = {{Pattern::By::glob, "/mnt/*"}, path("/nowhere")};
    rules.exclude = {path("/mnt/b")};
    const FreezePlan plan = world.plan(rules).value();
    CHECK(order(plan) == "0/mnt/a ");
    REQUIRE(plan.uncovered.size() == 2);
    CHECK(plan.uncovered[0].excluded);
    CHECK(plan.uncovered[1].excluded);
    CHECK(plan.unmatched == std::vector<std::string>{"path=\"/nowhere\""});
}

TEST_CASE("guest-linux/plan: budgets of single mounts") {
    World world;
    world.mount("254:16 / /mnt/a xfs rw").mount("254:32 / /mnt/b ext4 rw");
    FreezeRules rules;
    rules.mount_budget = 3s;
    rules.budgets = {{path("/mnt/a"), 9s}, {{Pattern::By::type, "xfs"}, 1s}};
    const FreezePlan plan = world.plan(rules).value();
    CHECK(plan.targets[0].budget == 3s);
    CHECK(plan.targets[1].budget == 9s);
}

TEST_CASE("guest-linux/plan: a permission listener that writes to the set is named") {
    World world;
    world.mount("254:16 / /mnt/a xfs rw").mount("254:32 / /mnt/b ext4 rw");  // ids 11 and 12
    world.scan.listeners = {{5, "idle", {{254, 16}}, {}, {}},
                            {6, "scanner", {}, {11}, {12}},
                            {7, "elsewhere", {{254, 32}}, {}, {99}}};
    FreezePlan plan = world.plan().value();
    CHECK(plan.targets[1].listener == "scanner (pid 6)");
    CHECK(plan.targets[1].budget == 2s);
    CHECK(plan.targets[0].listener.empty());
    CHECK(plan.targets[2].listener.empty());
    // What it writes to is left out: then it cannot get stuck.
    plan = world.plan(without({path("/mnt/b")})).value();
    CHECK(plan.targets[1].listener.empty());
}

TEST_CASE("guest-linux/plan: too many filesystems is an error, not a surprise") {
    World world;
    for (std::size_t i = 0; i < filesystems_max; ++i) {
        world.mount("252:" + std::to_string(i) + " / /m" + std::to_string(i) + " ext4 rw");
    }
    CHECK(world.plan().error().id == "freeze.too_many");
}
