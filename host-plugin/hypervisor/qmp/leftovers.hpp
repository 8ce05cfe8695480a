#pragma once
#include "hypervisor/qmp/session.hpp"

namespace stillpoint::hypervisor::qmp {

/// Sessions whose owner and keeper both died, rebuilt from the names that QEMU shows. Pure. No file
/// is named in them: what QEMU says of paths is not to be unlinked by us.
[[nodiscard]] std::vector<Session> find_leftovers(const BlockAnswers& answers);

/// Ends them. Only for the holder of the VM's lock: a living session looks the same.
[[nodiscard]] Status end_leftovers(QmpClient& client, const env::Deadline& deadline);

}  // namespace stillpoint::hypervisor::qmp
