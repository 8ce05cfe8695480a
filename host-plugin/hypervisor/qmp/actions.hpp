#pragma once
#include "hypervisor/qmp/session.hpp"

/// The arguments of QMP commands, built from a session. Pure.
namespace stillpoint::hypervisor::qmp {

/// The one transaction of the instant: frozen copies of the parent bitmaps, new bitmaps, and in
/// backup_job mode the jobs. The parents keep recording (I2).
[[nodiscard]] serialization::Array instant_actions(const Session& session);

/// blockdev-add of the scratch image. It backs onto what the guest reads, so that it *is* the
/// frozen view once the old data of every write lands in it first.
[[nodiscard]] serialization::Map scratch_node(const SessionDisk& disk, Mode mode);
/// blockdev-add of the copy-before-write filter, not yet under the device.
[[nodiscard]] serialization::Map filter_node(const SessionDisk& disk);
/// blockdev-add of the filter's own view; only possible once the device sits on the filter.
[[nodiscard]] serialization::Map probe_node(const SessionDisk& disk);
/// block-export-add of the frozen view with the frozen bitmap.
[[nodiscard]] serialization::Map view_export(const SessionDisk& disk);
/// block-export-add of the filter's own view, for read_first_sector.
[[nodiscard]] serialization::Map probe_export(const SessionDisk& disk);

}  // namespace stillpoint::hypervisor::qmp
