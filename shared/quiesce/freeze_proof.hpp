#pragma once
#include <optional>
#include <string>
#include <vector>

#include "quiesce/level.hpp"

namespace stillpoint::quiesce {

/// Whether the freeze is proven to have held from before the snapshot until after it.
struct FreezeProof {
    std::optional<serialization::Warning> problem;  // why it is not proven; empty: it is
    std::vector<std::string> excluded;              // left out by configuration
    std::vector<std::string> uncovered;             // not quiesced, though nobody left them out
    std::vector<serialization::Evidence> evidence;  // per filesystem; corrected where disproved
    std::optional<std::int64_t> frozen_ns;
};

[[nodiscard]] FreezeProof prove_freeze(const LevelInput& input);

}  // namespace stillpoint::quiesce
