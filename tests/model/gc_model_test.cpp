// docs/gc.md's argument, checked by looking at every order of steps in small worlds; and each rule
// of it, broken once: then data must get lost, or the rule is none.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "model/gc_search.hpp"

using namespace stillpoint::test::gc_model;

namespace {

constexpr Bits a = 1, b = 2, c = 4;  // chunks

struct NamedWorld {
    std::string name;
    World world;
};

// Point 0 needs `a` of pack 0, nobody needs pack 1; a writer has what is in pack 1.
const NamedWorld dedupe{"a writer and a gc, leases lapse",
                        {.holds = {a, b}, .first_needs = a, .stores = {b, 0}, .lapses = true}};
const NamedWorld parent{"an increment, a forget of its parent and a gc, leases lapse",
                        {.holds = {a, b},
                         .first_needs = a,
                         .stores = {a | b, 0},
                         .parent = {0, -1},
                         .forgets = 0,
                         .lapses = true}};
const NamedWorld repack{
    "a pack of which part is needed, leases lapse",
    {.holds = {a | b, c}, .first_needs = a, .stores = {b, 0}, .lapses = true, .repacks = true}};
const NamedWorld repack_twice{"a pack of which part is needed, two gcs at once",
                              {.holds = {a | b, c},
                               .first_needs = a,
                               .stores = {a | b, 0},
                               .parent = {0, -1},
                               .gcs = 2,
                               .repacks = true}};
const NamedWorld skewed{"clocks that differ by any amount",
                        {.holds = {a, b},
                         .first_needs = a,
                         .stores = {a | b, 0},
                         .parent = {0, -1},
                         .forgets = 0,
                         .skews = true}};
// The first writer's point is built on by the second one and forgotten meanwhile; its chunk lies in
// a pack that was condemned before it was published.
const NamedWorld chain{"a chain of points, the middle one forgotten, one gc after the other",
                       {.holds = {a, b},
                        .stores = {b, b},
                        .parent = {-1, 1},
                        .gcs = 2,
                        .writers_in_turn = true,
                        .gcs_in_turn = true,
                        .forgets = 1,
                        .gives_up = false}};
const NamedWorld copies{"a chunk with two copies and two gcs, leases lapse",
                        {.holds = {b, b}, .first_needs = b, .gcs = 2, .lapses = true}};
// `b` is stored as a difference from `a` in pack 0, and `a` whole in pack 1, where nobody needs it;
// pack 0 stays because of `c`.
const NamedWorld difference{"a difference whose base nobody names, leases lapse",
                            {.holds = {c, a},
                             .deltas = {b, 0},
                             .differs = b,
                             .builds_on = a,
                             .first_needs = c,
                             .stores = {b, 0},
                             .lapses = true}};
// An increment takes over the difference without looking for its base.
const NamedWorld inherited{"a difference that an increment takes over, its parent forgotten",
                           {.holds = {0, a},
                            .deltas = {b, 0},
                            .differs = b,
                            .builds_on = a,
                            .first_needs = b,
                            .stores = {b | c, 0},
                            .parent = {0, -1},
                            .forgets = 0,
                            .lapses = true}};
const NamedWorld moved_base{"a base in a pack that is emptied, leases lapse",
                            {.holds = {0, a | c},
                             .deltas = {b, 0},
                             .differs = b,
                             .builds_on = a,
                             .first_needs = b,
                             .stores = {b | c, 0},
                             .lapses = true,
                             .repacks = true}};
// More states: the long form only.
const NamedWorld two_gcs{"an increment, a forget and two gcs",
                         {.holds = {a, b},
                          .first_needs = a,
                          .stores = {a | b, 0},
                          .parent = {0, -1},
                          .gcs = 2,
                          .forgets = 0}};
const NamedWorld stalled_gc{
    "a gc that sleeps past its lease, and another one",
    {.holds = {a, b}, .stores = {b, 0}, .gcs = 2, .gives_up = false, .lapses = true}};
const NamedWorld two_writers{"two writers and a gc, leases lapse",
                             {.holds = {a, b}, .first_needs = a, .stores = {b, b}, .lapses = true}};

bool is_long() {
    const char* length = std::getenv("STILLPOINT_TEST_LENGTH");
    return length != nullptr && std::string_view{length} == "long";
}

std::vector<NamedWorld> worlds() {
    std::vector<NamedWorld> all{dedupe, parent, repack,     repack_twice, skewed,
                                chain,  copies, difference, inherited,    moved_base};
    if (is_long()) all.insert(all.end(), {two_gcs, stalled_gc, two_writers});
    return all;
}

using Rule = bool Rules::*;
struct Broken {
    std::string rule;
    Rule member;
    const NamedWorld& world;  // where it shows, with few states
};

const std::vector<Broken> needed{
    {"run_before_looking", &Rules::run_before_looking, dedupe},
    {"honours_marks", &Rules::honours_marks, dedupe},
    {"parent_after_run", &Rules::parent_after_run, parent},
    {"names_taken_once", &Rules::names_taken_once, dedupe},
    {"failed_put_expires", &Rules::failed_put_expires, dedupe},
    {"index_before_point", &Rules::index_before_point, dedupe},
    {"known_base", &Rules::known_base, difference},
    {"builds_on_known", &Rules::builds_on_known, difference},
    {"bases_count", &Rules::bases_count, inherited},
    {"mark_before_listing", &Rules::mark_before_listing, dedupe},
    {"waits_for_runs", &Rules::waits_for_runs, dedupe},
    {"runs_before_points", &Rules::runs_before_points, repack_twice},
    {"fences_expired", &Rules::fences_expired, dedupe},
    {"rescues", &Rules::rescues, dedupe},
    {"walks_forgotten", &Rules::walks_forgotten, chain},
    {"forgotten_before_runs", &Rules::forgotten_before_runs, chain},
    {"forgotten_first", &Rules::forgotten_first, chain},
    {"copies_first", &Rules::copies_first, repack},
    {"mark_last", &Rules::mark_last, dedupe},
    {"looks_again", &Rules::looks_again, dedupe},
    {"gc_lease", &Rules::gc_lease, copies},
};

}  // namespace

TEST_CASE("model/gc: no order of steps loses a chunk that a point names") {
    for (const NamedWorld& named : worlds()) {
        CAPTURE(named.name);
        const Searched searched = search(named.world, {});
        INFO(searched.counterexample);
        CHECK(searched.broken == "");
        CHECK(searched.complete);
        MESSAGE(named.name << ": " << searched.states << " states, " << searched.steps << " steps");
    }
}

TEST_CASE("model/gc: of two rules that guard the same, one is enough, and none is not") {
    Rules neither;
    neither.marks_before_index = neither.confirms_in_store = false;
    CHECK(search(dedupe.world, neither).broken != "");
    for (const Rule rule : {&Rules::marks_before_index, &Rules::confirms_in_store}) {
        Rules one;
        one.*rule = false;
        CHECK(search(dedupe.world, one).broken == "");
    }
    // The fence is enough, also where the lease is not looked at.
    Rules no_look;
    no_look.lease_before_publish = false;
    CHECK(search(skewed.world, no_look).broken == "");
    // A mark waits for gcs as for any run, so that two of them never delete at once.
    Rules many_gcs;
    many_gcs.one_gc = false;
    CHECK(search(copies.world, many_gcs).broken == "");
}

TEST_CASE("model/gc: without any one of these rules data is lost") {
    for (const Broken& broken : needed) {
        CAPTURE(broken.rule);
        Rules rules;
        rules.*broken.member = false;
        const Searched searched = search(broken.world.world, rules);
        CHECK(searched.broken != "");
        CHECK(searched.counterexample != "");
        if (is_long()) MESSAGE("without " << broken.rule << ":\n" << searched.counterexample);
    }
}
