#pragma once
#include <string>
#include <vector>

#include "env/files.hpp"
#include "serialization/configuration.hpp"

namespace stillpoint::hypervisor {

/// Where a part of a VM's configuration lies on this host, or why it cannot be had.
struct ConfigurationPlace {
    enum class Holds { file, folder };  // a folder: all files in it
    /// Whether the VM has such a part at all.
    enum class Known { yes, perhaps };
    serialization::ConfigurationKind kind = serialization::ConfigurationKind::nvram;
    env::Path path = {};
    Holds holds = Holds::file;
    std::string obstacle = {};  // why it cannot be read; empty: try
    std::string note = {};
    Known known = Known::yes;
};

struct Configuration {
    std::string definition;  // as in VmInfo, of now; empty: what inspect() told holds
    std::vector<ConfigurationPlace> places;
};

}  // namespace stillpoint::hypervisor
