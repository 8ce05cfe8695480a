#include "model/gc_state.hpp"

#include "vault/gc/forgotten.hpp"

namespace stillpoint::test::gc_model {
namespace {

using std::chrono::minutes;

std::uint64_t nanoseconds(env::Nanoseconds time) {
    return static_cast<std::uint64_t>(time.count());
}

Decisions ask() {
    constexpr env::Nanoseconds now = std::chrono::hours{100};
    const auto alive = [&](env::Nanoseconds expires) {
        return !vault::gc::RunState{"run", {}, 1, nanoseconds(expires)}.expired(now);
    };
    // A writer counts its lease as lapsed when it expires, others half an hour later.
    const bool lives = alive(now + minutes{1}), late = alive(now - minutes{29});
    const bool gone = alive(now - minutes{31});
    const auto built_on = [&](env::Nanoseconds started) {
        return vault::gc::may_be_built_on({"point", nanoseconds(now)},
                                          {{"run", {}, nanoseconds(started), nanoseconds(now)}});
    };
    return {{lives, late, gone, gone}, {built_on(now + minutes{31}), built_on(now)}};
}

}  // namespace

const Decisions& real_decisions() {
    static const Decisions decisions = ask();
    return decisions;
}

State begin(const World& world) {
    State s;
    s.there = s.indexed = bit(0) | bit(1);
    s.holds[0] = world.holds[0];
    s.holds[1] = world.holds[1];
    s.deltas[0] = world.deltas[0];
    s.deltas[1] = world.deltas[1];
    s.published = bit(0);
    s.needs[0] = world.first_needs;
    return s;
}

void other_steps(const World& world, const Rules& rules, const State& state, const Emit& emit) {
    const Bits target = world.forgets < 0 ? Bits{0} : bit(static_cast<unsigned>(world.forgets));
    if ((state.published & target) != 0 || (state.forget_pc == 1 && !rules.forgotten_first)) {
        State after = state;
        const bool copy = (after.forget_pc++ == 0) == rules.forgotten_first;
        if (copy) after.forgotten |= target;
        if (!copy) after.published = without(after.published, target);
        if (!copy) after.removed |= target;
        emit("forget", copy ? "puts the copy for gc" : "removes the point", after);
    }
    if (!world.lapses && !world.skews) return;
    for (unsigned at = 0; at < actors; ++at) {
        if (!has(state.runs, at)) continue;
        const Bits lease = state.lease[at];
        State after = state;
        if ((lease & lapsed) == 0) {
            after.lease[at] = lease | lapsed;
            emit("time", "a lease lapses", after);
        }
        if ((lease & expired) == 0 && ((lease & lapsed) != 0 || world.skews)) {
            after.lease[at] = lease | expired;
            emit("time", "half an hour more has passed", after);
        }
    }
}

std::string broken(const World& world, const State& s) {
    Bits readable = 0, deltas = 0;
    for (unsigned pack = 0; pack < packs; ++pack) {
        if (!has(s.there, pack) || !has(s.indexed, pack)) continue;
        readable |= s.holds[pack];
        deltas |= s.deltas[pack];
    }
    if ((readable & world.builds_on) != 0) readable |= deltas;
    for (unsigned point = 0; point < points; ++point) {
        if (!has(s.published, point) || without(s.needs[point], readable) == 0) continue;
        return "point " + std::to_string(point) + " names a chunk that is gone";
    }
    return {};
}

}  // namespace stillpoint::test::gc_model
