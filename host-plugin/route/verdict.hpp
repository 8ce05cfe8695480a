#pragma once
#include <optional>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"
#include "route/still_point.hpp"

/// Turns what was said and heard around a snapshot into the point's level (I5). Pure.
namespace stillpoint::route {

struct Verdict {
    serialization::Level level = serialization::Level::crash;
    serialization::Level asked = serialization::Level::filesystem;
    bool partial = false;
    std::vector<std::string> uncovered;
    std::optional<env::Nanoseconds> frozen;  // first freeze until the last thaw, as the guest says
    std::vector<serialization::Evidence> evidence;
    std::vector<serialization::Warning> warnings;
};

[[nodiscard]] Verdict judge(const Conversation& conversation,
                            const hypervisor::SnapshotTimes& times);

}  // namespace stillpoint::route
