#pragma once
#include <string>
#include <vector>

#include "hypervisor/hypervisor.hpp"
#include "route/point_document.hpp"
#include "route/services.hpp"

/// What a VM needs beside its disks, taken with them (ADR-0016). A part that cannot be had is named
/// in the point and never fails a backup.
namespace stillpoint::route {

inline constexpr std::size_t definition_bytes_max = 4u << 20;  // libvirt's XML is some KiB
inline constexpr std::size_t nvram_bytes_max = 64u << 20;      // AArch64's flash; x86 has 0.5 MiB
inline constexpr std::size_t tpm_bytes_max = 16u << 20;        // swtpm's state is some KiB
inline constexpr std::size_t tpm_files_max = 32;
inline constexpr std::size_t configuration_name_bytes_max = 100;  // of one file
/// libvirt answers once its own call for the snapshot has returned.
inline constexpr std::chrono::seconds configuration_question_budget{15};
/// All files together; a file system that hangs costs no more.
inline constexpr std::chrono::seconds configuration_read_budget{5};

struct ConfigurationFile {
    ConfigurationDocument document;
    Bytes content;  // empty where there is a reason
    hypervisor::ConfigurationPlace::Known known = hypervisor::ConfigurationPlace::Known::yes;
};

struct TakenConfiguration {
    std::string definition;
    std::vector<ConfigurationFile> files;
    std::vector<serialization::Warning> warnings;  // for each that the VM has and the point has not
};

/// A name that restore may give to a file: no path, no shell's character, not hidden.
[[nodiscard]] bool is_plain_name(const std::string& name);

/// Asks the driver and reads the files as they stand still; call right after the instant.
/// @param before what inspect() told, for the definition
/// @param instant wall clock of the snapshot: what was written since says so
[[nodiscard]] TakenConfiguration take_configuration(const BackupServices& services,
                                                    const hypervisor::VmInfo& before,
                                                    env::Nanoseconds instant,
                                                    const env::CancelToken& cancel);

/// Reads what lies at the places; a place that cannot be read gives a reason. Blocks as long as the
/// file systems do.
[[nodiscard]] std::vector<ConfigurationFile> read_places(
    const std::vector<hypervisor::ConfigurationPlace>& places, env::Nanoseconds instant);

/// Writes the contents into the run as roots of their own, and names these in the documents.
/// @return the roots, for the point @errors those of the vault
[[nodiscard]] Result<std::vector<vault::DiskRoot>> store_configuration(
    vault::Run& run, std::vector<ConfigurationFile>& files, std::uint32_t chunk_bytes);

}  // namespace stillpoint::route
