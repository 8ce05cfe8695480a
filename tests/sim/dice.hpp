#pragma once
#include <cstdint>
#include <random>

namespace stillpoint::sim {

/// All chance of a world comes from its seed through here; the same on every machine (the standard
/// distributions are not). @threads one
class Dice {
public:
    explicit Dice(std::uint64_t seed) : engine_(seed) {}
    [[nodiscard]] std::uint64_t below(std::uint64_t limit) { return limit ? engine_() % limit : 0; }
    [[nodiscard]] std::uint64_t between(std::uint64_t from, std::uint64_t to) {
        return from + below(to - from + 1);
    }
    [[nodiscard]] bool one_in(std::uint64_t n) { return below(n) == 0; }
    [[nodiscard]] std::uint64_t any() { return engine_(); }
    /// Other dice: what they give does not depend on how often these are thrown afterwards.
    [[nodiscard]] Dice fork() { return Dice{engine_()}; }
    template <class Items>
    [[nodiscard]] auto& pick(Items& items) {
        return items[below(items.size())];
    }

private:
    std::mt19937_64 engine_;
};

}  // namespace stillpoint::sim
