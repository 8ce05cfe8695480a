#include "policy/retention.hpp"

#include <date/iso_week.h>
#include <date/tz.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <optional>
#include <set>

namespace stillpoint::policy {
namespace {

using serialization::RetentionRules;
using Reasons = std::vector<std::vector<std::string>>;
using Local = date::local_time<std::chrono::seconds>;
/// What two points of the same hour, day … have in common.
using Bucket = std::array<std::int64_t, 3>;

tl::unexpected<Error> bad_rules(const std::string& text, const std::string& remedy) {
    return fail(Errc::invalid, "retention.rules", text, remedy);
}

Result<env::Nanoseconds> parse_within(const std::string& text) {
    struct Unit {
        char suffix;
        std::int64_t hours;
    };
    constexpr std::array<Unit, 3> units{{{'h', 1}, {'d', 24}, {'w', 168}}};
    constexpr std::int64_t number_max = 100'000;  // hours of eleven years, or more
    std::int64_t number = 0;
    const char* const last = text.data() + text.size();
    const auto read = std::from_chars(text.data(), last, number);
    const char suffix = last - read.ptr == 1 ? *read.ptr : '\0';
    const auto* unit = std::find_if(units.begin(), units.end(),
                                    [&](const Unit& known) { return suffix == known.suffix; });
    const bool good = read.ec == std::errc{} && number > 0 && number <= number_max;
    if (!good || unit == units.end()) {
        return bad_rules("`" + text + "` is no time to keep points for",
                         "write a number and h, d or w, for example 30d");
    }
    return std::chrono::hours{number * unit->hours};
}

/// @return nullptr: UTC
Result<const date::time_zone*> find_zone(const std::string& name) {
    if (name.empty() || name == "UTC") return nullptr;
    try {
        return date::locate_zone(name);
    } catch (const std::exception&) {  // the library's only way to say no
        return bad_rules("this host knows no time zone `" + name + "`",
                         "give a name of the IANA database, for example Europe/Berlin; Debian's "
                         "package tzdata has it");
    }
}

/// An instant as people there call it; the offset tells the two runs of a repeated hour apart.
struct Instant {
    Local local;
    std::int64_t offset_s = 0;
};

Instant instant_of(env::Nanoseconds time, const date::time_zone* zone) {
    const date::sys_seconds at{std::chrono::floor<std::chrono::seconds>(time)};
    const std::chrono::seconds offset =
        zone == nullptr ? std::chrono::seconds{0} : zone->get_info(at).offset;
    return {Local{at.time_since_epoch() + offset}, offset.count()};
}

Bucket hour_of(const Instant& at) {
    return {std::chrono::floor<std::chrono::hours>(at.local.time_since_epoch()).count(),
            at.offset_s, 0};
}
Bucket day_of(const Instant& at) {
    return {date::floor<date::days>(at.local).time_since_epoch().count(), 0, 0};
}
Bucket week_of(const Instant& at) {
    const iso_week::year_weeknum_weekday week{date::floor<date::days>(at.local)};
    return {int{week.year()}, unsigned{week.weeknum()}, 0};
}
Bucket month_of(const Instant& at) {
    const date::year_month_day day{date::floor<date::days>(at.local)};
    return {int{day.year()}, unsigned{day.month()}, 0};
}
Bucket year_of(const Instant& at) {
    return {int{date::year_month_day{date::floor<date::days>(at.local)}.year()}, 0, 0};
}

struct Rule {
    const char* name;
    std::uint32_t RetentionRules::*count;
    Bucket (*bucket_of)(const Instant& at);
};
constexpr std::array rules_by_time{Rule{"hourly", &RetentionRules::hourly, hour_of},
                                   Rule{"daily", &RetentionRules::daily, day_of},
                                   Rule{"weekly", &RetentionRules::weekly, week_of},
                                   Rule{"monthly", &RetentionRules::monthly, month_of},
                                   Rule{"yearly", &RetentionRules::yearly, year_of}};

/// Points that rules speak about, newest first, as positions.
std::vector<std::size_t> newest_first(const std::vector<RetainedPoint>& points) {
    std::vector<std::size_t> order(points.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::erase_if(order, [&](std::size_t at) { return points[at].recovered; });
    // Of one instant the greater id is the later point: ids begin with the time.
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::tie(points[a].time, points[a].id) > std::tie(points[b].time, points[b].id);
    });
    return order;
}

void keep_always(const std::vector<RetainedPoint>& points, const std::vector<std::size_t>& order,
                 Reasons& reasons) {
    for (std::size_t at = 0; at < points.size(); ++at) {
        if (points[at].recovered) reasons[at].emplace_back("recovered");
    }
    if (order.empty()) return;
    reasons[order.front()].emplace_back("newest");
    const auto best =
        std::max_element(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            return points[a].level < points[b].level;  // the first of equals: the newest
        });
    if (*best != order.front()) reasons[*best].emplace_back("best level");
}

void keep_by_time(const std::vector<RetainedPoint>& points, const std::vector<std::size_t>& order,
                  const RetentionRules& rules, const date::time_zone* zone, Reasons& reasons) {
    for (const Rule& rule : rules_by_time) {
        std::set<Bucket> seen;
        for (const std::size_t at : order) {
            if (seen.size() >= rules.*rule.count) break;
            const bool first =
                seen.insert(rule.bucket_of(instant_of(points[at].time, zone))).second;
            if (first) reasons[at].emplace_back(rule.name);
        }
    }
}

}  // namespace

Status check_rules(const RetentionRules& rules) {
    if (!rules.within.empty()) SP_TRY(parse_within(rules.within));
    SP_TRY(find_zone(rules.zone));
    return {};
}

Result<Reasons> reasons_to_keep(const std::vector<RetainedPoint>& points,
                                const RetentionRules& rules) {
    if (!rules.keeps_something()) {
        return fail(Errc::refused, "retention.no_rule", "no rule says which points to keep",
                    "give --keep-daily and the like, or <retention> in host.xml");
    }
    SP_TRY(check_rules(rules));
    SP_ASSIGN(const date::time_zone* zone, find_zone(rules.zone));
    Reasons reasons(points.size());
    const std::vector<std::size_t> order = newest_first(points);
    keep_always(points, order, reasons);
    for (std::size_t n = 0; n < order.size() && n < rules.last; ++n) {
        reasons[order[n]].emplace_back("last");
    }
    if (!rules.within.empty() && !order.empty()) {
        SP_ASSIGN(const env::Nanoseconds within, parse_within(rules.within));
        const env::Nanoseconds oldest = points[order.front()].time - within;
        for (const std::size_t at : order) {
            if (points[at].time >= oldest) reasons[at].emplace_back("within");
        }
    }
    keep_by_time(points, order, rules, zone, reasons);
    return reasons;
}

}  // namespace stillpoint::policy
