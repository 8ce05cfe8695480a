#include "vault/pack_format.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/hex.hpp"
#include "base/limits.hpp"
#include "chunk/zero.hpp"
#include "vault/object_names.hpp"
#include "vault/padding.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::string_view trailer_magic = "SPdr";
constexpr std::size_t entry_bytes = chunk::ChunkId::bytes + 1 + 4 + 4;
constexpr std::size_t delta_entry_bytes = entry_bytes + chunk::ChunkId::bytes;
constexpr std::size_t directory_head_bytes = 8;
constexpr std::size_t sealed_directory_bytes_max =
    directory_head_bytes + pack_records_max * delta_entry_bytes + chunk::seal_overhead_bytes;
// A payload is never longer than its plaintext; a delta may be framed a little.
constexpr std::uint32_t stored_bytes_max =
    limits::chunk_bytes_max + 1024 + chunk::seal_overhead_bytes;

static_assert(sealed_directory_bytes_max < pack_bytes_min);

tl::unexpected<Error> damaged(const std::string& text) {
    return fail(Errc::corrupt, "vault.pack_damaged", text);
}

/// What lies behind the records: each part is bound to what it is.
Bytes part_associated(const VaultId& vault, std::string_view part) {
    return associated_data(vault, ObjectKind::pack, as_bytes(part));
}
Bytes seal_part(const VaultId& vault, const chunk::SealKey& key, std::uint64_t record,
                std::string_view part, ByteView plaintext) {
    Bytes out(plaintext.size() + chunk::seal_overhead_bytes);
    key.seal(record, part_associated(vault, part), plaintext, out);
    return out;
}
constexpr std::string_view directory_part = "directory";
constexpr std::string_view padding_part = "padding";
constexpr std::string_view trailer_part = "trailer";

Result<chunk::ChunkId> read_id(ByteReader& reader) {
    SP_ASSIGN(const ByteView view, reader.take(chunk::ChunkId::bytes));
    chunk::ChunkId id;
    std::copy(view.begin(), view.end(), id.value.begin());
    return id;
}

Result<DirectoryEntry> read_entry(ByteReader& reader) {
    DirectoryEntry entry;
    SP_ASSIGN(entry.id, read_id(reader));
    SP_ASSIGN(const std::uint8_t codec, reader.u8());
    SP_ASSIGN(entry.plain_bytes, reader.u32());
    SP_ASSIGN(entry.stored_bytes, reader.u32());
    // An encoding of a later version makes one chunk unreadable, not the pack.
    entry.codec = static_cast<chunk::Codec>(codec);
    if (entry.plain_bytes > limits::chunk_bytes_max || entry.stored_bytes > stored_bytes_max ||
        entry.stored_bytes < chunk::seal_overhead_bytes) {
        return damaged("a directory entry has an impossible length");
    }
    return entry;
}

Result<PackDirectory> parse_directory(ByteView plaintext) {
    ByteReader reader{plaintext};
    PackDirectory directory;
    SP_ASSIGN(const std::uint32_t content, reader.u32());
    SP_ASSIGN(const std::uint32_t records, reader.u32());
    if (content > static_cast<std::uint32_t>(Content::map) || records > pack_records_max) {
        return damaged("the directory's head is impossible");
    }
    directory.content = static_cast<Content>(content);
    directory.entries.reserve(records);
    std::uint64_t offset = object_header_bytes;
    for (std::uint32_t i = 0; i < records; ++i) {
        SP_ASSIGN(DirectoryEntry entry, read_entry(reader));
        if (entry.codec == chunk::Codec::delta) {
            SP_ASSIGN(directory.bases[i], read_id(reader));
        }
        entry.offset = offset;
        offset += entry.stored_bytes;
        directory.entries.push_back(entry);
    }
    SP_TRY(reader.finish());
    return directory;
}

Bytes write_directory(const PackDirectory& directory) {
    SP_CHECK(directory.entries.size() <= pack_records_max);
    Bytes plaintext;
    ByteWriter writer{plaintext};
    writer.u32(static_cast<std::uint32_t>(directory.content));
    writer.u32(static_cast<std::uint32_t>(directory.entries.size()));
    for (std::uint32_t slot = 0; slot < directory.entries.size(); ++slot) {
        const DirectoryEntry& entry = directory.entries[slot];
        writer.raw(entry.id.view()).u8(static_cast<std::uint8_t>(entry.codec));
        writer.u32(entry.plain_bytes).u32(entry.stored_bytes);
        if (entry.codec == chunk::Codec::delta) writer.raw(directory.bases.at(slot).view());
    }
    return plaintext;
}

}  // namespace

PackName PackName::of(ByteView pack) {
    return {chunk::sha256_by_pieces(pack)};
}

std::string PackName::hex() const {
    return to_hex(value);
}

std::string PackName::object() const {
    const std::string name = hex();
    return names::packs + name.substr(0, 2) + "/" + name;
}

Result<PackName> PackName::parse_object(const std::string& object) {
    PackName name;
    const auto digest = from_hex(std::string_view{object}.substr(object.rfind('/') + 1));
    if (digest && digest->size() == name.value.size()) {
        std::copy(digest->begin(), digest->end(), name.value.begin());
        if (name.object() == object) return name;
    }
    return fail(Errc::corrupt, "vault.pack_name", object + " is not the name of a pack");
}

Bytes record_associated(const VaultId& vault, const DirectoryEntry& entry,
                        const std::optional<chunk::ChunkId>& base) {
    Bytes subject;
    ByteWriter writer{subject};
    writer.u8(static_cast<std::uint8_t>(entry.codec)).u32(entry.plain_bytes).raw(entry.id.view());
    if (base) writer.raw(base->view());
    return associated_data(vault, ObjectKind::pack, subject);
}

std::uint64_t PackDirectory::records_end() const {
    std::uint64_t end = object_header_bytes;
    for (const DirectoryEntry& entry : entries) end += entry.stored_bytes;
    return end;
}

std::size_t pack_end_bytes(std::size_t entries, std::size_t deltas) {
    const std::size_t directory =
        directory_head_bytes + entries * entry_bytes + deltas * chunk::ChunkId::bytes;
    return chunk::seal_overhead_bytes + directory + chunk::seal_overhead_bytes + pack_trailer_bytes;
}

Bytes seal_pack_end(const VaultId& vault, const chunk::SealKey& key, const PackDirectory& directory,
                    std::uint64_t limit_bytes) {
    const std::uint64_t bytes =
        directory.records_end() + pack_end_bytes(directory.entries.size(), directory.bases.size());
    SP_CHECK(bytes <= limit_bytes);
    const Bytes zeros(std::min(padded_bytes(bytes), limit_bytes) - bytes);
    Bytes out = seal_part(vault, key, padding_record, padding_part, zeros);
    const Bytes sealed =
        seal_part(vault, key, directory_record, directory_part, write_directory(directory));
    Bytes length;
    ByteWriter{length}.u32(static_cast<std::uint32_t>(sealed.size()));
    ByteWriter{out}
        .raw(sealed)
        .raw(seal_part(vault, key, trailer_record, trailer_part, length))
        .raw(as_bytes(trailer_magic));
    return out;
}

Status check_trailer_mark(ByteView trailer) {
    if (as_text(trailer.last(trailer_magic.size())) == trailer_magic) return {};
    return damaged("the pack does not end like one");
}

Result<std::uint32_t> open_trailer(const VaultId& vault, const chunk::SealKey& key,
                                   ByteView trailer, std::uint64_t pack_bytes) {
    SP_TRY(check_trailer_mark(trailer));
    const auto length = key.open(trailer_record, part_associated(vault, trailer_part),
                                 trailer.first(trailer.size() - trailer_magic.size()));
    if (!length) return damaged("the pack's trailer is damaged");
    ByteReader reader{*length};
    SP_ASSIGN(const std::uint32_t sealed_bytes, reader.u32());
    SP_TRY(reader.finish());
    if (sealed_bytes > sealed_directory_bytes_max ||
        std::uint64_t{sealed_bytes} + object_header_bytes + pack_trailer_bytes > pack_bytes) {
        return damaged("the pack does not end with a directory");
    }
    return sealed_bytes;
}

Result<PackDirectory> open_directory(const VaultId& vault, const chunk::SealKey& key,
                                     ByteView sealed, std::uint64_t pack_bytes) {
    const auto plaintext =
        key.open(directory_record, part_associated(vault, directory_part), sealed);
    if (!plaintext) return damaged("the pack's directory is damaged");
    auto directory = parse_directory(*plaintext);
    if (!directory) return damaged(directory.error().text);
    const std::uint64_t others = directory->records_end() + sealed.size() + pack_trailer_bytes;
    if (others + chunk::seal_overhead_bytes > pack_bytes) {
        return damaged("the pack is shorter than its directory says");
    }
    directory->pack_bytes = pack_bytes;
    directory->padding_bytes = pack_bytes - others;
    return std::move(*directory);
}

Result<PackDirectory> directory_of(const VaultId& vault, const chunk::SealKey& key, ByteView pack) {
    SP_ASSIGN(const std::uint32_t sealed_bytes,
              open_trailer(vault, key, pack.last(pack_trailer_bytes), pack.size()));
    const ByteView sealed = pack.last(pack_trailer_bytes + sealed_bytes).first(sealed_bytes);
    return open_directory(vault, key, sealed, pack.size());
}

Status check_padding(const VaultId& vault, const chunk::SealKey& key, ByteView sealed) {
    const auto zeros = key.open(padding_record, part_associated(vault, padding_part), sealed);
    if (!zeros || !chunk::is_zero(*zeros)) return damaged("the pack's padding is damaged");
    return {};
}

}  // namespace stillpoint::vault
