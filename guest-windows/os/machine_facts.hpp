#pragma once
#include <string>

#include "service/doctor.hpp"

namespace stillpoint::windows_guest::os {

/// Gathers what the doctor judges. Changes nothing; may start the service VSS.
/// @param port the device to look at; empty: this program has it open, so it is there
/// @threads any, in the multithreaded apartment
[[nodiscard]] MachineFacts look_at_machine(const std::string& port);

}  // namespace stillpoint::windows_guest::os
