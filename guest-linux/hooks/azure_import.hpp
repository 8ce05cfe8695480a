#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stillpoint::linux_guest {

struct AzureImport {
    std::string xml;                 // a whole guest.xml
    std::vector<std::string> notes;  // what was not carried over as it was, and why; one line each
};

/// Translates the script configuration of Azure's Linux backup extension
/// (VMSnapshotScriptPluginConfig.json) into the hook of guest.xml.
/// @errors invalid, id "import.azure": no JSON, a required field is missing, a value of the wrong
/// kind or out of range, with the field's name
[[nodiscard]] Result<AzureImport> import_azure(std::string_view json);

}  // namespace stillpoint::linux_guest
