#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "serialization/doctor.hpp"
#include "vss/vss_session.hpp"

/// What is right and wrong with this Windows, for a backup (docs/windows.md, "The doctor"). Facts
/// are gathered by os/machine_facts.cpp; what they mean is decided here. Pure.
namespace stillpoint::windows_guest {

/// A service or driver, as the service manager tells.
struct ServiceFact {
    enum class State { missing, stopped, changing, running };
    enum class Start { automatic, manual, disabled };
    std::string name;
    State state = State::missing;
    Start start = Start::manual;
};

/// Who has the virtio-serial port.
enum class PortState { missing, unused, in_use, denied };

/// Our snapshot provider's two registrations.
struct ProviderFact {
    bool known_to_com = false;
    std::string version;           // of the one that VSS lists; empty: VSS lists none of ours
    std::optional<Error> problem;  // VSS's list cannot be read
};

struct VolumeFact {
    GuestVolume volume;
    std::uint64_t free_bytes = 0;
};

struct MachineFacts {
    std::int64_t realtime_ns = 0;  // since 1970 UTC
    bool administrator = true;
    std::vector<ServiceFact> services;  // by examined_services, in any order
    PortState port = PortState::in_use;
    ProviderFact provider;
    std::vector<VolumeFact> volumes;
    std::vector<std::string> restart_reasons;  // why Windows waits for a restart
};

/// The services whose facts are needed.
inline constexpr const char* own_service = "stillpoint-guest";
inline constexpr const char* port_driver = "VirtioSerial";
inline constexpr const char* examined_services[] = {own_service,   port_driver, "VSS",    "RpcSs",
                                                    "EventSystem", "COMSysApp", "W32Time"};

/// @param writers what VSS says about them now, or why it cannot
[[nodiscard]] serialization::Diagnosis diagnose(
    const MachineFacts& facts, const VssResult<std::vector<WriterStatus>>& writers);

}  // namespace stillpoint::windows_guest
