#pragma once
#include <functional>
#include <string>

#include "base/result.hpp"
#include "service/agent.hpp"
#include "service/guest_log.hpp"

namespace stillpoint::windows_guest {

struct ServiceOptions {
    std::string channel;                            // empty: the virtio-serial port
    std::string config;                             // empty: guest.xml of the data folder
    std::optional<serialization::BackupType> type;  // goes before guest.xml's
};

/// Builds the extension's objects and serves until `wait_for_stop` returns.
/// @errors of guest.xml, which must be right at the start; later it may be wrong, and the one
/// before is kept
/// @threads the caller's is in the multithreaded apartment meanwhile
[[nodiscard]] Status serve(const ServiceOptions& options, const GuestLog::Write& log,
                           const std::function<void()>& wait_for_stop);

/// Examines this machine, as the host can ask the service to.
/// @threads the caller's is in the multithreaded apartment meanwhile
[[nodiscard]] serialization::Diagnosis examine_machine(const ServiceOptions& options,
                                                       const GuestLog::Write& log);

}  // namespace stillpoint::windows_guest
