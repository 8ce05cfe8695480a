#include "model/gc_search.hpp"

#include <algorithm>
#include <vector>

namespace stillpoint::test::gc_model {
namespace {

struct Print {
    std::uint64_t high = 0, low = 0;
    friend bool operator==(const Print&, const Print&) = default;
};

constexpr std::uint64_t mixed(std::uint64_t value) {
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93u;
    value ^= value >> 29;
    value *= 0x9fb21c651e98df25u;
    return value ^ value >> 32;
}

Print print_of(const State& state) {
    Print print{0x243f6a8885a308d3u, 0x13198a2e03707344u};
    std::array<std::uint64_t, (sizeof(State) + 7) / 8> words{};
    std::memcpy(words.data(), &state, sizeof state);
    for (const std::uint64_t word : words) {
        print.high = mixed(print.high ^ word);
        print.low = mixed(print.low + word * 0x9e3779b97f4a7c15u) ^ print.high;
    }
    if (print == Print{}) print.low = 1;  // zero says: free
    return print;
}

/// Open addressing, at most half full.
class Seen {
public:
    /// @return whether it is new
    bool add(const Print& print) {
        if (2 * (count_ + 1) > table_.size()) grow();
        Print& slot = place(table_, print);
        if (slot == print) return false;
        slot = print;
        ++count_;
        return true;
    }

private:
    static Print& place(std::vector<Print>& table, const Print& print) {
        std::size_t at = print.low & (table.size() - 1);
        while (table[at] != Print{} && table[at] != print) at = (at + 1) & (table.size() - 1);
        return table[at];
    }
    void grow() {
        std::vector<Print> bigger(2 * table_.size());
        for (const Print& print : table_) {
            if (print != Print{}) place(bigger, print) = print;
        }
        table_.swap(bigger);
    }
    std::vector<Print> table_{1u << 16};
    std::size_t count_ = 0;
};

struct Step {
    std::uint32_t before = 0;
    const char* actor = "";
    const char* what = "";
};

std::string way_to(const std::vector<Step>& steps, std::uint32_t at) {
    std::vector<std::string> lines;
    for (; at != 0; at = steps[at].before) {
        lines.push_back(std::string{steps[at].actor} + " " + steps[at].what);
    }
    std::reverse(lines.begin(), lines.end());
    std::string text;
    for (const std::string& line : lines) text += "  " + line + "\n";
    return text;
}

}  // namespace

Searched search(const World& world, const Rules& rules, std::uint64_t states_max) {
    struct Reached {
        State state;
        std::uint32_t step;
    };
    Searched result;
    Seen seen;
    std::vector<Step> steps{{}};  // steps[n] led to the n-th state that was met first
    std::vector<Reached> now{{begin(world), 0}}, next;
    seen.add(print_of(now[0].state));
    std::uint32_t from = 0;
    const Emit emit = [&](const char* actor, const char* what, const State& after) {
        ++result.steps;
        if (!result.broken.empty() || !seen.add(print_of(after))) return;
        steps.push_back({from, actor, what});
        const auto step = static_cast<std::uint32_t>(steps.size() - 1);
        next.push_back({after, step});
        result.broken = broken(world, after);
        if (!result.broken.empty()) result.counterexample = way_to(steps, step);
    };
    while (!now.empty() && result.broken.empty() && steps.size() < states_max) {
        for (const Reached& reached : now) {
            from = reached.step;
            for (unsigned at = 0; at < writers; ++at) {
                writer_steps(world, rules, reached.state, at, emit);
            }
            for (unsigned at = 0; at < gcs; ++at) gc_steps(world, rules, reached.state, at, emit);
            other_steps(world, rules, reached.state, emit);
        }
        now.swap(next);
        next.clear();
    }
    result.states = steps.size();
    result.complete = now.empty();
    return result;
}

}  // namespace stillpoint::test::gc_model
