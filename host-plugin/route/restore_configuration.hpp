#pragma once
#include <vector>

#include "env/files.hpp"
#include "route/point_document.hpp"
#include "serialization/reports.hpp"

/// Brings back what a VM needs beside its disks.
namespace stillpoint::route {

struct RestoredFile {
    env::Path path;
    Bytes content;
    bool there = false;  // the file exists already, and is the same
};

/// What is to be written, read and proven before anything is.
struct ConfigurationRestore {
    std::vector<RestoredFile> files;
    std::vector<serialization::Damage> damage;  // of files that are not among them
};

/// Reads definition and configuration files of a point and looks at what is in the folder.
/// @errors busy, id "restore.exists": another file of that name is there · those of the vault, but
///         not damage
[[nodiscard]] Result<ConfigurationRestore> load_configuration(vault::Vault& vault,
                                                              const vault::Point& point,
                                                              const env::Path& folder);

/// Durably, readable by their owner alone.
[[nodiscard]] Status write_configuration(const ConfigurationRestore& configuration);

}  // namespace stillpoint::route
