#include "freeze/plan.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::linux_guest;

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
        return plan_freeze(MountTable::parse(text_).value(), facts, rules);
    }
    SysfsFacts facts;

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
    CHECK(plan.targets[1].candidates[0].point == "/data");
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
    const FreezePlan plan = world.plan({{"/bind", "/nowhere"}}).value();
    CHECK(order(plan) == "0/ ");
    REQUIRE(plan.uncovered.size() == 1);
    CHECK(plan.uncovered[0].excluded);
    CHECK(plan.uncovered[0].name == "/data");
    CHECK(plan.unmatched == std::vector<std::string>{"/nowhere"});
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
    CHECK(order(world.plan({{"/upper"}}).value()) == "2/top 0/ 0/base ");
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
    CHECK(world.plan({{"/lv"}}));
}

TEST_CASE("guest-linux/plan: hidden mounts and ways through a network are not opened") {
    World world;
    world
        .mount("254:16 / /cover xfs rw")      // id 11
        .mount("0:30 / /cover tmpfs rw", 11)  // id 12 covers it
        .mount("0:31 / /net nfs rw")          // id 13
        .mount("254:32 / /net/disk ext4 rw", 13);
    const FreezePlan plan = world.plan().value();
    CHECK(order(plan) == "0/ ");
    REQUIRE(plan.uncovered.size() == 2);
    CHECK(plan.uncovered[0].note == "hidden under another mount");
    CHECK(plan.uncovered[1].note == "reachable only through /net (nfs)");
}

TEST_CASE("guest-linux/plan: too many filesystems is an error, not a surprise") {
    World world;
    for (std::size_t i = 0; i < filesystems_max; ++i) {
        world.mount("252:" + std::to_string(i) + " / /m" + std::to_string(i) + " ext4 rw");
    }
    CHECK(world.plan().error().id == "freeze.too_many");
}
