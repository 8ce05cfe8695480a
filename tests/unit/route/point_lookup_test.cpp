// Points that cannot be read: they are named, and nothing else passes for them.
#include "route/point_lookup.hpp"

#include <doctest/doctest.h>

#include "support/vault_damage.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using test::VaultLab;

namespace {

struct World {
    vault::MemoryStore store;
    VaultLab lab{store};
    vault::PointId first = backup(), second = backup();

    vault::PointId backup() {
        return lab.backup({{"vda", Bytes(VaultLab::chunk_bytes, std::byte{1})}}).value().id;
    }
    void damage(const vault::PointId& id) { test::flip(store, "points/" + id, 1000); }
    Result<vault::Point> find(const std::string& name) {
        return route::find_point(lab.vault(), name);
    }
    vault::PointList all() { return route::points_of(lab.vault(), "").value(); }
};

}  // namespace

TEST_CASE("route/lookup: a point that cannot be read is listed apart, whatever VM is asked for") {
    World world;
    CHECK(world.all().points.size() == 2);
    CHECK(world.all().unreadable.empty());
    world.damage(world.first);
    const vault::PointList list = world.all();
    REQUIRE(list.points.size() == 1);
    CHECK(list.points[0].id == world.second);
    REQUIRE(list.unreadable.size() == 1);
    CHECK(list.unreadable[0].id == world.first);
    CHECK_FALSE(list.unreadable[0].text.empty());
    const auto others = route::points_of(world.lab.vault(), "another").value();
    CHECK(others.points.empty());
    CHECK(others.unreadable.size() == 1);
    CHECK(world.lab.vault().points().value().size() == 1);
}

TEST_CASE("route/lookup: an older point does not pass for the latest") {
    World world;
    CHECK(world.find("vm@latest").value().id == world.second);
    world.damage(world.first);
    CHECK(world.find("vm@latest").value().id == world.second);
    world.damage(world.second);
    CHECK(world.find("vm@latest").error().id == "point.damaged");
    const vault::PointId third = world.backup();
    CHECK(world.find("vm@latest").value().id == third);
    world.damage(third);
    world.damage(world.second);  // whole again: the same bit
    const auto latest = world.find("vm@latest");
    REQUIRE_FALSE(latest);
    CHECK(latest.error().text.find(third) != std::string::npos);
    CHECK(latest.error().remedy.find(world.second) != std::string::npos);
}

TEST_CASE("route/lookup: by its whole id a point that cannot be read may be meant") {
    World world;
    world.damage(world.first);
    const auto find = [&](const std::string& name, route::Damaged damaged) {
        return route::find_points(world.lab.vault(), {world.second, name}, damaged);
    };
    CHECK(find(world.first, route::Damaged::is_error).error().code == Errc::corrupt);
    CHECK(find(world.first, route::Damaged::by_full_id).value() ==
          std::vector<vault::PointId>{world.second, world.first});
    CHECK(find(world.first.substr(0, 31), route::Damaged::by_full_id).error().code ==
          Errc::corrupt);
}

TEST_CASE("route/lookup: the beginning of a point that cannot be read finds that point") {
    World world;
    world.damage(world.first);
    // Both were made within a moment: only the last digits differ for certain.
    const std::string most = world.first.substr(0, 31);
    CHECK(world.find(world.first).error().id == "point.damaged");
    CHECK(world.find(world.first).error().remedy.find("vault repair") != std::string::npos);
    CHECK(world.find(most).error().id == "point.damaged");
    CHECK(world.find(world.second).value().id == world.second);
    CHECK(world.find("0123456789").error().id == "point.not_found");
}
