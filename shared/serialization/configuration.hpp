#pragma once
#include <cstdint>
#include <string>

#include "serialization/enum_text.hpp"

/// What a VM needs beside its disks, as reports and recovery points name it.
namespace stillpoint::serialization {

enum class ConfigurationKind {
    definition,  // domain XML, or QEMU's own description
    nvram,       // UEFI variables
    tpm,         // state of an emulated TPM
};
inline constexpr EnumTable<ConfigurationKind, 3> configuration_kind_names{
    {{ConfigurationKind::definition, "definition"},
     {ConfigurationKind::nvram, "nvram"},
     {ConfigurationKind::tpm, "tpm"}}};
SP_ENUM_TEXT(ConfigurationKind, configuration_kind_names)

/// One file of a VM's configuration; sizes in bytes.
struct ConfigurationReport {
    ConfigurationKind kind = ConfigurationKind::definition;
    std::string name;  // that restore gives it, below its folder
    std::string path;  // on the host at backup time; empty: not known, or no file
    bool taken = false;
    std::uint64_t bytes = 0;
    std::string sha256;  // of the content, hex
    std::string reason;  // why it was not taken
    std::string note;
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("kind", s.kind);
        v("name", s.name);
        v("path", s.path);
        v("taken", s.taken);
        v("bytes", s.bytes);
        v("sha256", s.sha256);
        v("reason", s.reason);
        v("note", s.note);
    }
};

}  // namespace stillpoint::serialization
