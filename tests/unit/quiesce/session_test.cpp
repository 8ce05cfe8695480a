#include "quiesce/session.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <set>
#include <string>
#include <tuple>
#include <vector>

using namespace stillpoint::quiesce;

namespace {

/// What is owed in the guest after a series of steps.
struct World {
    State state = State::idle;
    bool frozen = false;  // start_freeze was answered, no thaw ended yet
    int post_owed = 0;    // pre hooks started minus post hooks started
    bool thaw_running = false;
    auto key() const { return std::tuple(state, frozen, post_owed, thaw_running); }
};

World after(World world, Event event) {
    const Step moved = step(world.state, event);
    if (event == Event::thaw_done || event == Event::freeze_failed) {
        world.frozen = world.thaw_running = false;
    }
    if (moved.action == Action::run_pre) ++world.post_owed;
    if (moved.action == Action::run_post || moved.action == Action::run_post_failed)
        --world.post_owed;
    if (moved.action == Action::start_freeze) world.frozen = true;
    if (moved.action == Action::start_thaw) world.thaw_running = true;
    world.state = moved.next;
    return world;
}

/// Whether the driver can produce this event now: a thaw ends only when one runs, and so on.
bool possible(const World& world, Event event) {
    switch (event) {
        case Event::pre_done:
            return world.state == State::preparing;
        case Event::froze:
        case Event::freeze_failed:
            return world.state == State::freezing;
        case Event::thaw_done:
            return world.thaw_running;
        case Event::post_done:
            return world.state == State::finishing;
        case Event::deadline:
            return timer_in(world.state) != Timer::none;
        case Event::prepare:
        case Event::freeze:
        case Event::thaw:
        case Event::finish:
        case Event::cancel:
        case Event::channel_lost:
            return true;
    }
    return false;
}

/// Every world that any series of possible events leads to.
std::vector<World> reachable() {
    std::vector<World> found{World{}};
    std::set<decltype(World{}.key())> seen{World{}.key()};
    for (std::size_t i = 0; i < found.size(); ++i) {
        for (const Event event : all_events) {
            if (!possible(found[i], event)) continue;
            const World next = after(found[i], event);
            if (seen.insert(next.key()).second) found.push_back(next);
        }
    }
    return found;
}

Step walk(std::initializer_list<Event> events) {
    Step last{State::idle, Action::none};
    for (const Event event : events) last = step(last.next, event);
    return last;
}

}  // namespace

TEST_CASE("quiesce/session: the usual way round") {
    CHECK(walk({Event::prepare}) == Step{State::preparing, Action::run_pre});
    CHECK(walk({Event::prepare, Event::pre_done, Event::freeze, Event::froze}) ==
          Step{State::frozen, Action::send_frozen});
    CHECK(walk({Event::prepare, Event::pre_done, Event::freeze, Event::froze, Event::thaw,
                Event::thaw_done, Event::finish, Event::post_done}) ==
          Step{State::idle, Action::send_finished});
}

TEST_CASE("quiesce/session: in every reachable world what is owed agrees with the state") {
    const auto worlds = reachable();
    CHECK(worlds.size() >= state_names.size());
    for (const World& world : worlds) {
        CAPTURE(std::string(name_of(world.state)));
        REQUIRE(world.frozen == may_be_frozen(world.state));
        const bool held = world.state != State::idle && world.state != State::finishing;
        REQUIRE(world.post_owed == (held ? 1 : 0));  // post once for each pre, never twice
        const bool thaws = world.state == State::expiring || world.state == State::thawing ||
                           world.state == State::aborting;
        REQUIRE(world.thaw_running == thaws);  // started once, where one is needed
    }
}

TEST_CASE(
    "quiesce/session: from every world a lost channel or a cancel ends idle, thawed and clean") {
    for (const Event ending : {Event::channel_lost, Event::cancel}) {
        for (World world : reachable()) {
            world = after(world, ending);
            for (const Event done : {Event::thaw_done, Event::post_done}) {
                if (possible(world, done)) world = after(world, done);
            }
            REQUIRE(world.key() == World{}.key());
        }
    }
}

TEST_CASE("quiesce/session: a host that vanishes without a hang-up meets a deadline that thaws") {
    for (const World& world : reachable()) {
        if (!world.frozen || world.thaw_running) continue;
        REQUIRE(timer_in(world.state) == Timer::hold);
        const World late = after(after(world, Event::deadline), Event::thaw_done);
        REQUIRE_FALSE(late.frozen);
        // The host's Thaw comes too late: it is still told what happened.
        REQUIRE(step(late.state, Event::thaw) == Step{State::thawed, Action::send_thawed});
    }
}

TEST_CASE("quiesce/session: a host that vanishes without a hang-up is not waited for for ever") {
    for (World world : reachable()) {
        CAPTURE(std::string(name_of(world.state)));
        // What runs by itself ends by itself; then only the timers are left.
        for (const Event event : {Event::pre_done, Event::deadline, Event::thaw_done,
                                  Event::deadline, Event::post_done}) {
            if (possible(world, event)) world = after(world, event);
        }
        REQUIRE(world.key() == World{}.key());
    }
}

TEST_CASE("quiesce/session: requests out of order are refused and change nothing") {
    for (const auto& [state, name] : state_names) {
        for (const Event event : all_events) {
            const Step moved = step(state, event);
            if (moved.action != Action::send_order_error) continue;
            CHECK(is_request(event));
            CHECK(moved.next == state);
        }
    }
    CHECK(step(State::idle, Event::freeze).action == Action::send_order_error);
    CHECK(step(State::prepared, Event::thaw).action == Action::send_order_error);
    CHECK(step(State::frozen, Event::finish).action == Action::send_order_error);
    CHECK(step(State::thawed, Event::freeze).action == Action::send_order_error);
    CHECK(step(State::finishing, Event::prepare).action == Action::send_order_error);
}
