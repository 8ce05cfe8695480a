#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stillpoint::windows_guest {

/// What a writer says it has: a database, a group of files.
struct WriterComponent {
    int type = 0;              // VSS_COMPONENT_TYPE
    std::string logical_path;  // "Server\Instance"; may be empty
    std::string name;
};

/// Which components of one writer are named in the backup: all of them, each by itself or through
/// the one above it, which then stands for it. Pure.
/// @return indices into `all`, in its order
/// @source Microsoft, "Working with Selectability and Logical Paths"
[[nodiscard]] std::vector<std::size_t> plan_components(std::span<const WriterComponent> all);

/// Whether a writer is named in the configuration, by class id or name, in any case.
[[nodiscard]] bool is_named(std::span<const std::string> list, std::string_view name,
                            std::string_view class_id);

}  // namespace stillpoint::windows_guest
