#pragma once
#include <cstdint>
#include <string>

#include "model/gc_state.hpp"

namespace stillpoint::test::gc_model {

struct Searched {
    std::uint64_t states = 0;
    std::uint64_t steps = 0;     // transitions, many of which meet again
    std::string broken;          // empty: in no state is anything lost
    std::string counterexample;  // the shortest way there, one step a line
    bool complete = false;       // every reachable state was looked at
};

/// Looks at every state that any order of steps reaches, in breadth: what it finds is shortest.
/// States are told apart by 128 bits of a hash of theirs: of ten million, two are taken for one
/// with a probability of 10^-25.
/// @param states_max gives up (complete = false) beyond
[[nodiscard]] Searched search(const World& world, const Rules& rules,
                              std::uint64_t states_max = 40'000'000);

}  // namespace stillpoint::test::gc_model
