#include "vault/point_record.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/hex.hpp"
#include "base/limits.hpp"
#include "chunk/seal.hpp"
#include "chunk/zero.hpp"
#include "vault/padding.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::uint32_t magic = 0x54505053;  // "SPPT"
constexpr std::uint8_t version = 1;
constexpr std::uint8_t kind_point = 0;
constexpr std::uint8_t kind_fence = 1;
constexpr std::uint64_t sealing_bytes = object_header_bytes + chunk::seal_overhead_bytes;
static_assert(point_bytes_max >
              limits::document_bytes_max + point_disks_max * (limits::name_bytes_max + 64) + 1024);

/// The length of a record whose object has then a length that tells little.
std::size_t padded_record_bytes(std::size_t bytes) {
    return padded_bytes(bytes + sealing_bytes) - sealing_bytes;
}

// Names end up in messages and terminals: no control characters.
bool is_name(std::string_view text) {
    return text.size() <= limits::name_bytes_max &&
           std::none_of(text.begin(), text.end(),
                        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Status check_names(const Point& point) {
    std::set<std::string_view> names;
    for (const DiskRoot& disk : point.disks) {
        if (!is_disk_name(disk.disk) || !names.insert(disk.disk).second ||
            disk.size.raw() > limits::disk_bytes_max) {
            return fail(Errc::invalid, "point.invalid",
                        "recovery point: a disk's name or size is unusable");
        }
    }
    if (!is_point_id(point.id) || !is_name(point.vm_name) || !is_name(point.vm_uuid)) {
        return fail(Errc::invalid, "point.invalid",
                    "recovery point: its id or the VM's name is unusable");
    }
    return {};
}

Result<std::string> read_name(ByteReader& in) {
    SP_ASSIGN(const auto bytes, in.sized(limits::name_bytes_max));
    return std::string{as_text(bytes)};
}

Result<DiskRoot> read_disk(ByteReader& in) {
    DiskRoot disk;
    SP_ASSIGN(disk.disk, read_name(in));
    SP_ASSIGN(const auto size, in.u64());
    disk.size = ByteCount{size};
    SP_ASSIGN(const auto root, in.take(chunk::ChunkId::bytes));
    std::memcpy(disk.root.value.data(), root.data(), root.size());
    return disk;
}

Result<Point> read_point(ByteReader& in) {
    Point point;
    SP_ASSIGN(const auto id, in.take(16));
    point.id = to_hex(id);
    SP_ASSIGN(point.vm_name, read_name(in));
    SP_ASSIGN(point.vm_uuid, read_name(in));
    SP_ASSIGN(const auto disks, in.u32());
    if (disks > point_disks_max) {
        return fail(Errc::corrupt, "point.damaged", std::to_string(disks) + " disks");
    }
    for (std::uint32_t at = 0; at < disks; ++at) {
        SP_ASSIGN(DiskRoot disk, read_disk(in));
        point.disks.push_back(std::move(disk));
    }
    SP_ASSIGN(const auto document, in.sized(limits::document_bytes_max));
    point.document = to_bytes(document);
    return point;
}

}  // namespace

// Restore makes file names of them.
bool is_disk_name(std::string_view text) {
    return is_name(text) && !text.empty() && text != "." && text != ".." &&
           text.find('/') == std::string_view::npos;
}

bool is_point_id(std::string_view text) {
    return text.size() == 32 && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

std::string point_object(const PointId& id) {
    return "points/" + id;
}

Result<Bytes> encode_point(const Point& point) {
    SP_TRY(check_names(point));
    if (point.disks.size() > point_disks_max ||
        point.document.size() > limits::document_bytes_max) {
        return fail(Errc::invalid, "point.invalid",
                    "recovery point: too many disks or a document over " +
                        std::to_string(limits::document_bytes_max) + " bytes");
    }
    Bytes bytes;
    ByteWriter out{bytes};
    SP_ASSIGN(const Bytes id, from_hex(point.id));
    out.u32(magic).u8(version).u8(kind_point).u16(0).raw(id);
    out.sized(as_bytes(point.vm_name)).sized(as_bytes(point.vm_uuid));
    out.u32(static_cast<std::uint32_t>(point.disks.size()));
    for (const DiskRoot& disk : point.disks) {
        out.sized(as_bytes(disk.disk)).u64(disk.size.raw()).raw(disk.root.view());
    }
    out.sized(point.document);
    bytes.resize(padded_record_bytes(bytes.size()));
    return bytes;
}

Bytes encode_fence(const PointId& id) {
    Bytes bytes;
    ByteWriter{bytes}.u32(magic).u8(version).u8(kind_fence).u16(0).raw(*from_hex(id));
    return bytes;
}

bool is_fence(ByteView bytes) {
    ByteReader in{bytes};
    const auto seen_magic = in.u32();
    const auto seen_version = in.u8();
    const auto seen_kind = in.u8();
    return seen_magic && *seen_magic == magic && seen_version && *seen_version == version &&
           seen_kind && *seen_kind == kind_fence && bytes.size() == fence_bytes;
}

Result<Point> decode_point(ByteView bytes) {
    ByteReader in{bytes};
    SP_ASSIGN(const auto seen_magic, in.u32());
    SP_ASSIGN(const auto seen_version, in.u8());
    SP_ASSIGN(const auto seen_kind, in.u8());
    SP_ASSIGN(const auto reserved_word, in.u16());
    if (seen_magic == magic && seen_version > version) {
        return fail(Errc::unsupported, "point.newer",
                    "recovery point of version " + std::to_string(seen_version),
                    "use a newer stillpoint");
    }
    if (is_fence(bytes)) {
        return fail(Errc::not_found, "point.fenced", "a run that ended without a recovery point");
    }
    if (seen_magic != magic || seen_version == 0 || seen_kind != kind_point || reserved_word != 0) {
        return fail(Errc::corrupt, "point.damaged", "recovery point: wrong header");
    }
    auto point = read_point(in);
    if (!point)
        return fail(Errc::corrupt, "point.damaged", "recovery point: " + point.error().text);
    const ByteView padding = bytes.last(in.left());
    if (!chunk::is_zero(padding) ||
        bytes.size() != padded_record_bytes(bytes.size() - padding.size())) {
        return fail(Errc::corrupt, "point.damaged", "recovery point: wrong padding");
    }
    if (const Status names = check_names(*point); !names) {
        return fail(Errc::corrupt, "point.damaged", names.error().text);
    }
    return point;
}

}  // namespace stillpoint::vault
