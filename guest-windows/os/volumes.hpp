#pragma once
#include "base/result.hpp"
#include "vss/vss_session.hpp"

namespace stillpoint::windows_guest::os {

/// The volumes on fixed disks, by their place in the file tree, or by their GUID path where they
/// have none. One with a place that VSS cannot hold still has a note that says why; one without is
/// not listed then: the system partition is FAT32.
[[nodiscard]] std::vector<GuestVolume> list_volumes();

/// Writes a volume's cached data to its disk.
/// @errors io, denied, id "volume.flush"
[[nodiscard]] Status flush_volume(const GuestVolume& volume);

/// "Windows 10.0.20348", as people compare it.
[[nodiscard]] std::string windows_release();

}  // namespace stillpoint::windows_guest::os
