#pragma once
#include <memory>

#include "vss/vss_session.hpp"

namespace stillpoint::windows_guest {

/// VSS as Windows has it. Made on the worker's thread, in the multithreaded apartment.
[[nodiscard]] std::unique_ptr<VssSession> make_com_session();

}  // namespace stillpoint::windows_guest
