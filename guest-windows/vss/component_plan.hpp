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
    bool selectable = true;  // for backup: it may be left out, and stands for all below it
};

/// Which components of one writer are named in the backup: all of them, each by itself or through a
/// selectable one above it, which then stands for it. One that is not selectable stands for itself
/// alone: what lies below it is named as well. Pure.
/// @return indices into `all`, in its order
/// @source Microsoft, "Working with Selectability and Logical Paths"; glossary, "explicit component
/// inclusion"
[[nodiscard]] std::vector<std::size_t> plan_components(std::span<const WriterComponent> all);

/// Which writers take part, each by its name or its class id "{…}", in any case.
struct WriterChoice {
    std::vector<std::string> included;  // empty: all
    std::vector<std::string> excluded;  // also of those included
    [[nodiscard]] bool leaves_out(std::string_view name, std::string_view class_id) const;
    friend bool operator==(const WriterChoice&, const WriterChoice&) = default;
};

/// "{8-4-4-4-12 hexadecimal digits}"
[[nodiscard]] bool is_class_id(std::string_view text);

}  // namespace stillpoint::windows_guest
