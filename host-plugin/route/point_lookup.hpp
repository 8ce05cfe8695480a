#pragma once
#include <string>

#include "vault/vault.hpp"

namespace stillpoint::route {

inline constexpr std::size_t point_prefix_min = 8;

/// Finds the point that a user means: a full id, a unique prefix of at least 8 hex digits, or
/// `VM@latest` where VM is a name or uuid.
/// @errors not_found, id "point.not_found" · invalid, id "point.ambiguous" or "point.bad_name" ·
///         corrupt when the named point's object is damaged
[[nodiscard]] Result<vault::Point> find_point(vault::Vault& vault, const std::string& name);

/// The ids of all points that a user named; before anything is done to one of them, so that a
/// mistyped name changes nothing. @errors as find_point
[[nodiscard]] Result<std::vector<vault::PointId>> find_points(
    vault::Vault& vault, const std::vector<std::string>& names);

/// All points of a VM (name or uuid; empty: all), oldest first.
[[nodiscard]] Result<std::vector<vault::Point>> points_of(vault::Vault& vault,
                                                          const std::string& vm);

}  // namespace stillpoint::route
