#pragma once
#include <map>
#include <optional>

#include "hypervisor/qmp/session.hpp"

/// The way back, from whatever phase: every step looks at what QEMU shows and removes what is ours.
namespace stillpoint::hypervisor::qmp {

/// Ends everything of the session inside QEMU except bitmaps: resumes the VM if we stopped it,
/// exports, jobs, a pause that our full scratch caused, NBD server, probes, filters, scratch nodes.
/// Idempotent. Goes on after a failure and returns the first one.
[[nodiscard]] Status end_in_qemu(QmpClient& client, const Session& session,
                                 const env::Deadline& deadline);

/// Removes bitmaps by node and name in one transaction; those that do not exist are left out.
[[nodiscard]] Status drop_bitmaps(QmpClient& client,
                                  const std::map<std::string, std::vector<std::string>>& by_node,
                                  const env::Deadline& deadline);

/// Resumes the VM if the phase file says that we stopped it and it is the same QEMU.
[[nodiscard]] Status resume_if_we_stopped(QmpClient& client, const Session& session,
                                          const env::Deadline& deadline);

/// @return nullopt: nobody listens there any more, QEMU is gone
/// @errors as QmpClient::connect
[[nodiscard]] Result<std::optional<QmpClient>> connect_if_alive(const env::Path& socket,
                                                                const env::Deadline& deadline);

}  // namespace stillpoint::hypervisor::qmp
