#pragma once
#include <string>
#include <string_view>

#include "base/result.hpp"

/// Names of a vault's objects. docs/vault-format.md, section "Objects".
namespace stillpoint::vault::names {

inline constexpr const char* config = "config";
inline constexpr const char* keys = "keys/";
inline constexpr const char* removals = "removals/";  // of key slots, under way
inline constexpr const char* packs = "packs/";
inline constexpr const char* index = "index/";
inline constexpr const char* points = "points/";
inline constexpr const char* runs = "runs/";
inline constexpr const char* condemned = "condemned/";
inline constexpr const char* waits = "waits/";
inline constexpr const char* forgotten = "forgotten/";
inline constexpr const char* copies = "copies/";
inline constexpr const char* recovered = "recovered/";
inline constexpr const char* probe = "probe/";  // what an init tries a store with
inline constexpr const char* tmp = "tmp/";  // local stores only: half-written objects, never listed

inline constexpr std::size_t bytes_max = 255;

/// Relative, '/'-separated, components of [0-9a-z._-] that are neither empty, "." nor "..".
/// @errors invalid, id "store.name"
[[nodiscard]] Status check(std::string_view name);

}  // namespace stillpoint::vault::names
