#pragma once
#include "vault/check.hpp"

namespace stillpoint::vault {

/// Looks at everything in a store that proves itself without a key: both copies of the
/// configuration and of each key slot (checksums), every byte of every pack (its name is their
/// SHA-256), and of what is sealed the names, the headers and the lengths as far as a kind has one.
/// A point that was lost is told by the names alone. What this cannot see: keyless_check_note.
/// Reads all packs; options.depth does not matter.
/// @return damage is a result; points counts the objects under points/, fences too
/// @errors not_found, id "vault.missing" · unsupported, id "vault.newer_format" · cancelled · io
///         and the like: nothing is known about what could not be read
[[nodiscard]] Result<CheckResult> check_without_key(BlockStore& store, const CheckOptions& options);

/// What a keyless check does not cover, for people.
inline constexpr const char* keyless_check_note =
    "without the key it was not looked at whether a pack is missing altogether, at the content of "
    "the index, recovery points, their copies, runs and marks, and whether points find their data";

}  // namespace stillpoint::vault
