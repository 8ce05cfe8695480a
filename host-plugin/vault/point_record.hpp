#pragma once
#include "vault/vault.hpp"

/// The bytes of a recovery point before sealing (docs/vault-format.md, "Points").
namespace stillpoint::vault {

inline constexpr std::size_t point_disks_max = 1024;  // disks of one VM; libvirt allows far fewer
inline constexpr std::size_t point_bytes_max = 24u << 20;  // the largest document and every disk

/// @return whether the text is 32 lower-case hex digits
[[nodiscard]] bool is_point_id(std::string_view text);
/// @return whether it can name a disk: 1-255 bytes without '/' and control characters, no folder
[[nodiscard]] bool is_disk_name(std::string_view text);
/// @return the name of a point's object
[[nodiscard]] std::string point_object(const PointId& id);

/// @errors invalid, id "point.invalid": over a limit, a name that is not text, two disks of one
/// name
[[nodiscard]] Result<Bytes> encode_point(const Point& point);
/// Bounded; what is accepted encodes back to the same bytes. object_bytes is left 0.
/// @errors corrupt, id "point.damaged" · unsupported, id "point.newer" · not_found, id
///         "point.fenced": a fence
[[nodiscard]] Result<Point> decode_point(ByteView bytes);

inline constexpr std::size_t fence_bytes = 24;
/// What stands under a point's name so that a run which was taken for dead cannot publish it.
/// @param id a point id
[[nodiscard]] Bytes encode_fence(const PointId& id);
[[nodiscard]] bool is_fence(ByteView bytes);

}  // namespace stillpoint::vault
