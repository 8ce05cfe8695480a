#pragma once
#include <functional>
#include <string>

#include "base/result.hpp"
#include "service/agent.hpp"
#include "service/guest_log.hpp"

namespace stillpoint::windows_guest {

struct ServiceOptions {
    std::string channel;  // empty: the virtio-serial port
    AgentRules rules;
    std::vector<std::string> excluded_writers;
};

/// Builds the extension's objects and serves until `wait_for_stop` returns.
/// @threads the caller's is in the multithreaded apartment meanwhile
[[nodiscard]] Status serve(const ServiceOptions& options, const GuestLog::Write& log,
                           const std::function<void()>& wait_for_stop);

}  // namespace stillpoint::windows_guest
