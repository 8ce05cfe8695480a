#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"

/// The documents of virDomainBackupBegin and of checkpoints. All pure.
/// @source https://libvirt.org/formatbackup.html, https://libvirt.org/formatcheckpoint.html
namespace stillpoint::hypervisor::libvirt {

/// One disk in a pull backup.
struct BackupDisk {
    std::string name;
    std::string scratch;      // file
    std::string incremental;  // checkpoint to count from; empty: whole disk
    std::string checkpoint;   // bitmap to start at the instant; empty: none
};

struct BackupDocuments {
    std::string backup;
    std::string checkpoint;  // empty: no disk starts a bitmap
};

/// @param left_out disks of the VM that take no part; naming each keeps libvirt from adding them
[[nodiscard]] BackupDocuments backup_documents(const std::string& socket,
                                               const std::vector<BackupDisk>& disks,
                                               const std::vector<std::string>& left_out);

/// The dirty bitmap that libvirt exports for an incremental disk (we name it in the document).
[[nodiscard]] std::string export_bitmap_name(const std::string& disk);

/// A running backup as virDomainBackupGetXMLDesc tells it.
struct RunningBackup {
    std::string socket;
    std::vector<std::string> scratch;
    std::map<std::string, int> scratch_indexes;  // disk -> index of its scratch layer
};

/// @errors corrupt, id "libvirt.xml"
[[nodiscard]] Result<RunningBackup> parse_backup(const std::string& xml);

/// A checkpoint for bitmaps that exist but whose metadata libvirt lost (REDEFINE).
/// @param disks those that hold the bitmap; @param left_out the VM's others
[[nodiscard]] std::string redefinition(const std::string& name,
                                       const std::vector<std::string>& disks,
                                       const std::vector<std::string>& left_out,
                                       std::int64_t creation_time_s);

}  // namespace stillpoint::hypervisor::libvirt
