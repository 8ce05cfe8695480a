// Which points a policy keeps, over time zones, gaps and levels.
#include "policy/retention.hpp"

#include <date/date.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

using namespace stillpoint;
using namespace stillpoint::policy;
using serialization::Level;
using serialization::RetentionRules;

namespace {

/// @param text as in "2026-03-29 01:30", UTC
RetainedPoint at(const std::string& text, Level level = Level::filesystem) {
    std::istringstream in{text};
    date::sys_seconds time;
    in >> date::parse("%Y-%m-%d %H:%M", time);
    REQUIRE(in);
    return {text, time.time_since_epoch(), level, false};
}

std::vector<std::string> kept(const std::vector<RetainedPoint>& points,
                              const RetentionRules& rules) {
    const auto reasons = reasons_to_keep(points, rules);
    REQUIRE(reasons);
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < points.size(); ++i) {
        if (!(*reasons)[i].empty()) ids.push_back(points[i].id);
    }
    return ids;
}

using Ids = std::vector<std::string>;

}  // namespace

TEST_CASE("policy/retention: of each day the newest, of days that have one") {
    const std::vector<RetainedPoint> points{at("2025-01-01 10:00"), at("2026-11-01 08:00"),
                                            at("2026-11-01 20:00"), at("2026-11-03 08:00"),
                                            at("2026-11-03 09:00")};
    CHECK(kept(points, {.daily = 2}) == Ids{"2026-11-01 20:00", "2026-11-03 09:00"});
    // A year without points is no reason to drop the one before it.
    CHECK(kept(points, {.daily = 3}) ==
          Ids{"2025-01-01 10:00", "2026-11-01 20:00", "2026-11-03 09:00"});
    CHECK(kept(points, {.last = 2}) == Ids{"2026-11-03 08:00", "2026-11-03 09:00"});
}

TEST_CASE("policy/retention: each rule by itself, and their reasons together") {
    const std::vector<RetainedPoint> points{at("2024-12-30 12:00"),  // ISO week 1 of 2025
                                            at("2025-01-02 12:00"), at("2025-12-31 23:00"),
                                            at("2026-01-31 12:00"), at("2026-02-01 12:00"),
                                            at("2026-02-02 12:00"), at("2026-02-02 12:40")};
    CHECK(kept(points, {.hourly = 1}) == Ids{"2026-02-02 12:40"});
    CHECK(kept(points, {.weekly = 3}) ==
          Ids{"2025-12-31 23:00", "2026-02-01 12:00", "2026-02-02 12:40"});
    CHECK(kept(points, {.weekly = 4}).front() == "2025-01-02 12:00");  // not of another week's
    CHECK(kept(points, {.monthly = 2}) == Ids{"2026-01-31 12:00", "2026-02-02 12:40"});
    CHECK(kept(points, {.yearly = 9}) ==
          Ids{"2024-12-30 12:00", "2025-12-31 23:00", "2026-02-02 12:40"});
    CHECK(kept({at("2025-02-02 12:00"), at("2026-02-02 12:00")}, {.monthly = 2}).size() == 2);
    const auto reasons = reasons_to_keep(points, {.last = 1, .daily = 1, .yearly = 1}).value();
    CHECK(reasons.back() == Ids{"newest", "last", "daily", "yearly"});
    CHECK(reasons.front().empty());
}

TEST_CASE("policy/retention: days end at the zone's midnight, a repeated hour is two") {
    // 23:30 UTC is 00:30 of the next day in Berlin (winter).
    const std::vector<RetainedPoint> night{at("2026-01-10 22:30"), at("2026-01-10 23:30")};
    CHECK(kept(night, {.daily = 2}) == Ids{"2026-01-10 23:30"});
    CHECK(kept(night, {.daily = 2, .zone = "Europe/Berlin"}).size() == 2);
    // 00:30 and 01:30 UTC are both 02:30 in Berlin when summer time ends.
    const std::vector<RetainedPoint> twice{at("2026-10-25 00:30"), at("2026-10-25 01:30")};
    CHECK(kept(twice, {.hourly = 2, .zone = "Europe/Berlin"}).size() == 2);
}

TEST_CASE("policy/retention: within counts from the newest point, not from now") {
    const std::vector<RetainedPoint> points{at("2020-01-01 00:00"), at("2020-01-02 00:00"),
                                            at("2020-01-03 00:00")};
    CHECK(kept(points, {.within = "24h"}) == Ids{"2020-01-02 00:00", "2020-01-03 00:00"});
    CHECK(kept(points, {.within = "1d"}).size() == 2);
    CHECK(kept(points, {.within = "1w"}).size() == 3);
}

TEST_CASE("policy/retention: the best level never gives way, nor does what nobody confirmed") {
    std::vector<RetainedPoint> points{
        at("2026-01-01 00:00", Level::application), at("2026-01-02 00:00", Level::application),
        at("2026-01-03 00:00", Level::crash), at("2026-01-04 00:00", Level::crash)};
    CHECK(kept(points, {.last = 1}) == Ids{"2026-01-02 00:00", "2026-01-04 00:00"});
    points[0].recovered = true;
    points.push_back(at("2026-01-05 00:00"));
    points.back().recovered = true;
    CHECK(kept(points, {.last = 1}) ==
          Ids{"2026-01-01 00:00", "2026-01-02 00:00", "2026-01-04 00:00", "2026-01-05 00:00"});
}

TEST_CASE("policy/retention: the order of the points is of no account") {
    std::vector<RetainedPoint> points{at("2026-01-01 00:00"), at("2026-01-02 00:00"),
                                      at("2026-01-02 12:00"), at("2026-01-03 00:00")};
    std::reverse(points.begin(), points.end());
    CHECK(kept(points, {.daily = 2}) == Ids{"2026-01-03 00:00", "2026-01-02 12:00"});
    CHECK(reasons_to_keep({}, {.daily = 2}).value().empty());
}

TEST_CASE("policy/retention: rules that keep nothing or cannot be understood are refused") {
    const std::vector<RetainedPoint> points{at("2026-01-01 00:00")};
    CHECK(reasons_to_keep(points, {}).error().id == "retention.no_rule");
    CHECK(reasons_to_keep(points, {.zone = "UTC"}).error().id == "retention.no_rule");
    for (const char* within : {"0d", "d", "3", "3m", "-1d", "1d ", "999999999d"}) {
        CAPTURE(within);
        CHECK(check_rules({.within = within}).error().id == "retention.rules");
    }
    CHECK(check_rules({.last = 1, .zone = "Mars/Olympus"}).error().id == "retention.rules");
    CHECK(check_rules({.within = "36h", .zone = "America/New_York"}));
}
