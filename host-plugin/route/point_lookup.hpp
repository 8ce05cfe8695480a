#pragma once
#include <string>

#include "vault/vault.hpp"

namespace stillpoint::route {

inline constexpr std::size_t point_prefix_min = 8;

/// Finds the point that a user means: a full id, a unique prefix of at least 8 hex digits, or
/// `VM@latest` where VM is a name or uuid. A later point that cannot be read may be that one.
/// @errors not_found, id "point.not_found" · invalid, id "point.ambiguous" or "point.bad_name" ·
///         corrupt when the object of the named point, or of one that may be meant, is damaged
[[nodiscard]] Result<vault::Point> find_point(vault::Vault& vault, const std::string& name);

/// The ids of all points that a user named; before anything is done to one of them, so that a
/// mistyped name changes nothing. @errors as find_point
/// @param damaged whether a point that cannot be read is one, too, if its whole id is given
enum class Damaged { is_error, by_full_id };
[[nodiscard]] Result<std::vector<vault::PointId>> find_points(vault::Vault& vault,
                                                              const std::vector<std::string>& names,
                                                              Damaged damaged = Damaged::is_error);

/// All points of a VM (name or uuid; empty: all), and those of any VM that cannot be read.
[[nodiscard]] vault::PointList points_of(vault::PointList list, const std::string& vm);
[[nodiscard]] Result<vault::PointList> points_of(vault::Vault& vault, const std::string& vm);

}  // namespace stillpoint::route
