#pragma once
#include <string>
#include <string_view>

#include "base/bytes.hpp"

/// Frozen files: bytes that a released version wrote and every later one must read. They are
/// compared, never written, unless STILLPOINT_REGENERATE_GOLDEN=1 is set; the difference is then
/// reviewed.
namespace stillpoint::test {

/// @return whether the file golden folder/name holds exactly these bytes (after writing them, when
/// regenerating). Prints what to do when it does not.
[[nodiscard]] bool matches_golden(const std::string& name, ByteView bytes);
[[nodiscard]] inline bool matches_golden(const std::string& name, std::string_view text) {
    return matches_golden(name, as_bytes(text));
}
/// @return the frozen bytes; empty when there is no such file
[[nodiscard]] Bytes read_golden(const std::string& name);

}  // namespace stillpoint::test
