#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

/// A small world of one vault, its writers and its gcs, for an exhaustive search. The steps are the
/// store's operations in the order of the real code; docs/gc.md has the argument that they follow.
namespace stillpoint::test::gc_model {

/// Each rule that the argument uses, or that the code keeps besides. Switched off, it is broken.
struct Rules {
    bool run_before_looking = true;     // a writer puts its run object before it reads anything
    bool honours_marks = true;          // it does not rely on a condemned pack
    bool marks_before_index = true;     // it reads the marks first, then lists the index
    bool confirms_in_store = true;      // it sees the pack in the store before it relies on it
    bool parent_after_run = true;       // it lists the points after it put its run object
    bool lease_before_publish = true;   // it does not publish once its own lease lapsed
    bool names_taken_once = true;       // a put fails where a fence has the name
    bool failed_put_expires = true;     // a run whose put has no answer keeps its run object
    bool index_before_point = true;     // I1
    bool known_base = true;             // it relies on a difference only if it could on its base
    bool builds_on_known = true;        // it makes one only from a base that it could rely on
    bool one_gc = true;                 // a gc withdraws when another one is alive
    bool gc_lease = true;               // a gc stops once its own lease lapsed
    bool mark_before_listing = true;    // the mark is put, then the runs are listed
    bool waits_for_runs = true;         // a mark's packs stay until all that it waits for ended
    bool runs_before_points = true;     // who has ended is looked at before the points are walked
    bool fences_expired = true;         // a fence takes the name of a run that is buried
    bool rescues = true;                // a condemned pack that a point needs stays
    bool bases_count = true;            // who needs a difference needs its base, whole
    bool walks_forgotten = true;        // forgotten points count while a run may build on them
    bool forgotten_before_runs = true;  // they are listed before the runs
    bool forgotten_first = true;        // forget puts the copy for gc before it removes the point
    bool copies_first = true;           // what is needed of a sparse pack is copied before its mark
    bool mark_last = true;              // a mark goes after its packs
    bool looks_again = true;            // points that came since the walk are walked before a
                                        // mark is swept at once
};

inline constexpr unsigned writers = 2, gcs = 2, packs = 6, points = 3, actors = writers + gcs;
using Bits = std::uint8_t;

[[nodiscard]] constexpr Bits bit(unsigned at) {
    return static_cast<Bits>(1u << at);
}
[[nodiscard]] constexpr bool has(Bits set, unsigned at) {
    return (set >> at & 1) != 0;
}
[[nodiscard]] constexpr Bits without(Bits set, Bits taken) {
    return static_cast<Bits>(set & ~unsigned{taken});
}

/// What a world is made of: chunks are bits; packs 0 and 1 are there, and point 0, which may need
/// nothing. Writer n publishes point n + 1. One chunk may be stored as a difference from another.
struct World {
    std::array<Bits, 2> holds{};         // chunks in packs 0 and 1, whole
    std::array<Bits, 2> deltas{};        // chunks in them that are stored as differences
    Bits differs = 0, builds_on = 0;     // the chunk that may be one, and its base
    Bits first_needs = 0;                // chunks of point 0
    std::array<Bits, writers> stores{};  // chunks that each writer backs up; 0: no such writer
    std::array<int, writers> parent{-1,
                                    -1};  // the point whose chunks it takes over, if it finds it
    unsigned gcs = 1;
    bool writers_in_turn = false;  // the second one begins when the first has ended
    bool gcs_in_turn = false;      // the second one begins when the first has ended
    int forgets = -1;              // somebody forgets this point once it is there
    bool gives_up = true;          // a writer may end without publishing
    bool lapses = false;           // leases may end, of actors that stand still
    bool skews = false;    // clocks differ by any amount: others take a live run for expired
    bool repacks = false;  // packs of which a part is needed are emptied
};

// All bytes, so that two states are equal when their bytes are.
struct Mark {
    Bits there = 0, packs = 0, has_waits = 0, waits = 0;
};
struct Writer {
    Bits pc = 0, found = 0, seen = 0, condemned = 0, needs = 0, missing = 0, deltas = 0, flying = 0,
         ended = 0;
};
struct Gc {
    Bits pc = 0, seen = 0, condemned = 0, marks = 0, live = 0, burying = 0, forgotten = 0,
         there = 0, nobodys = 0, in_store = 0, todo = 0, walked = 0, walked_chunks = 0, chosen = 0,
         sweeping = 0, gone = 0, snapshot = 0, later = 0;
    std::array<Bits, gcs> waits{};                    // of the marks, as it read or wrote them
    std::array<Bits, packs> needs{}, needs_deltas{};  // chunks needed of each pack, in each form
};
struct State {
    Bits there = 0, indexed = 0;       // packs
    std::array<Bits, packs> holds{};   // chunks, whole
    std::array<Bits, packs> deltas{};  // chunks, as differences
    Bits published = 0, fenced = 0;    // names under points/
    Bits forgotten = 0, removed = 0;   // copies for gc; points that are gone
    std::array<Bits, points> needs{};  // chunks
    Bits runs = 0;                     // run objects, by actor
    std::array<Bits, actors> lease{};  // lapsed | expired
    std::array<Mark, gcs> marks{};     // by the gc that made it
    std::array<Writer, writers> writer{};
    std::array<Gc, gcs> gc{};
    Bits forget_pc = 0;
};
inline constexpr Bits lapsed = 1, expired = 2;  // by its own clock; by those of others
inline constexpr Bits over = 255;               // the pc of who has ended

/// What the real code decides in each case that the model tells apart.
struct Decisions {
    std::array<bool, 4> alive{};     // gc::RunState::expired, by what became of the lease
    std::array<bool, 2> built_on{};  // gc::may_be_built_on, by whether the run may have found it
};
[[nodiscard]] const Decisions& real_decisions();

[[nodiscard]] inline Bits sees_alive(const State& s, unsigned self) {
    Bits alive = 0;
    for (unsigned at = 0; at < actors; ++at) {
        if (at != self && has(s.runs, at) && real_decisions().alive[s.lease[at]]) alive |= bit(at);
    }
    return alive;
}

/// A step that some actor can take: what it is, and the world after it.
using Emit = std::function<void(const char* actor, const char* what, const State& after)>;

/// @return the first state of a world
[[nodiscard]] State begin(const World& world);
void writer_steps(const World& world, const Rules& rules, const State& state, unsigned self,
                  const Emit& emit);
void gc_steps(const World& world, const Rules& rules, const State& state, unsigned self,
              const Emit& emit);
void other_steps(const World& world, const Rules& rules, const State& state, const Emit& emit);

/// @return what a recovery point names and nobody can read any more; empty: all is well
[[nodiscard]] std::string broken(const World& world, const State& state);

}  // namespace stillpoint::test::gc_model
