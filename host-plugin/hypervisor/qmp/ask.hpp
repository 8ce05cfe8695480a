#pragma once
#include <map>
#include <set>
#include <string>

#include "env/clock.hpp"
#include "hypervisor/qmp/client.hpp"
#include "hypervisor/qmp/facts.hpp"

/// Questions to QEMU.
namespace stillpoint::hypervisor::qmp {

[[nodiscard]] Result<BlockAnswers> ask_blocks(QmpClient& client, const env::Deadline& deadline);
/// All bitmaps of all nodes, by node name.
[[nodiscard]] Result<std::map<std::string, std::vector<BitmapInfo>>> ask_bitmaps(
    QmpClient& client, const env::Deadline& deadline);
/// The node each device sits on, by query-block's `qdev`.
[[nodiscard]] Result<std::map<std::string, std::string>> ask_roots(QmpClient& client,
                                                                   const env::Deadline& deadline);
/// Names of all block nodes.
[[nodiscard]] Result<std::set<std::string>> ask_node_names(QmpClient& client,
                                                           const env::Deadline& deadline);
/// ask_blocks and read_devices, then what each device says: device_path is emptied where there is
/// no settable `drive`, iothread is filled in. Flash chips are no disks.
[[nodiscard]] Result<std::vector<DeviceFacts>> ask_devices(QmpClient& client,
                                                           const env::Deadline& deadline);
/// The machine's flash chips, which hold its firmware and the firmware's variables.
[[nodiscard]] Result<std::vector<DeviceFacts>> ask_flash_chips(QmpClient& client,
                                                               const env::Deadline& deadline);
/// @return query-status' "status"; "none" for a storage daemon
[[nodiscard]] Result<std::string> ask_run_state(QmpClient& client, const env::Deadline& deadline);
/// Summed over all devices.
[[nodiscard]] Result<GuestWrites> ask_guest_writes(QmpClient& client,
                                                   const env::Deadline& deadline);

}  // namespace stillpoint::hypervisor::qmp
