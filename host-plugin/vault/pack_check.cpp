#include "vault/pack_check.hpp"

#include <algorithm>
#include <optional>

#include "base/hex.hpp"
#include "vault/object_names.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

struct WholePack {
    PackDirectory directory;
    chunk::SealKey key;
};

Result<WholePack> open_pack(const VaultCore& core, ByteView bytes) {
    if (bytes.size() < object_header_bytes + pack_trailer_bytes) {
        return fail(Errc::corrupt, "vault.pack_damaged", "it is shorter than any pack");
    }
    SP_ASSIGN(const Salt salt, read_object_header(bytes, ObjectKind::pack));
    const VaultId& vault = core.keys.vault_id();
    chunk::SealKey key = core.keys.object_key(ObjectKind::pack, salt);
    SP_ASSIGN(const std::uint32_t sealed_bytes,
              open_trailer(vault, key, bytes.last(pack_trailer_bytes), bytes.size()));
    const ByteView sealed = bytes.last(pack_trailer_bytes + sealed_bytes).first(sealed_bytes);
    SP_ASSIGN(PackDirectory directory, open_directory(vault, key, sealed, bytes.size()));
    return WholePack{std::move(directory), std::move(key)};
}

void check_records(const VaultCore& core, const WholePack& pack, ByteView bytes,
                   PackVerdict& verdict) {
    Bytes plaintext;
    const auto& entries = pack.directory.entries;
    for (std::uint32_t slot = 0; slot < entries.size(); ++slot) {
        const DirectoryEntry& entry = entries[slot];
        plaintext.resize(entry.stored_bytes - chunk::seal_overhead_bytes);
        const Bytes associated =
            record_associated(core.keys.vault_id(), entry, pack.directory.base_of(slot));
        if (!pack.key.open(slot, associated, bytes.subspan(entry.offset, entry.stored_bytes),
                           plaintext)) {
            verdict.records.push_back({entry.id, slot,
                                       "chunk " + to_hex(entry.id.view()) + " is damaged (bytes " +
                                           std::to_string(entry.offset) + " to " +
                                           std::to_string(entry.offset + entry.stored_bytes) +
                                           ")"});
        }
    }
}

Result<Bytes> read_whole(BlockStore& store, const std::string& object) {
    SP_ASSIGN(const ByteCount size, store.size(object));
    if (size.raw() > pack_bytes_max) {
        return fail(Errc::corrupt, "vault.pack_damaged", "it is longer than any pack");
    }
    return store.get(object, ByteOffset{0}, size);
}

/// Reads the pack's bytes and compares them with its name.
/// @return nullopt: there is nothing to look into; the verdict says why
Result<std::optional<Bytes>> prove_name(BlockStore& store, const PackName& name,
                                        PackVerdict& verdict) {
    const std::string object = name.object();
    auto bytes = read_whole(store, object);
    if (!bytes) {
        const Errc code = bytes.error().code;
        if (code != Errc::not_found && code != Errc::corrupt) return fail(bytes.error());
        verdict.missing = code == Errc::not_found;
        verdict.pack_damage.push_back(verdict.missing ? object + " is missing"
                                                      : object + ": " + bytes.error().text);
        return std::nullopt;
    }
    verdict.bytes_read = bytes->size();
    if (chunk::sha256(*bytes) != name.value) {
        verdict.pack_damage.push_back(object + ": its SHA-256 is not its name");
    }
    return std::move(*bytes);
}

Status check_ends(ByteView bytes) {
    if (bytes.size() < object_header_bytes + pack_trailer_bytes) {
        return fail(Errc::corrupt, "vault.pack_damaged", "it is shorter than any pack");
    }
    SP_TRY(read_object_header(bytes, ObjectKind::pack));
    return check_trailer_mark(bytes.last(pack_trailer_bytes));
}

}  // namespace

Result<PackVerdict> verify_pack(const VaultCore& core, const PackName& name) {
    PackVerdict verdict;
    SP_ASSIGN(const auto bytes, prove_name(core.store, name, verdict));
    if (!bytes) return verdict;
    const auto pack = open_pack(core, *bytes);
    if (!pack) {
        verdict.pack_damage.push_back(name.object() + ": " + pack.error().text);
        return verdict;
    }
    verdict.directory_readable = true;
    check_records(core, *pack, *bytes, verdict);
    const PackDirectory& directory = pack->directory;
    const Status padding =
        check_padding(core.keys.vault_id(), pack->key,
                      ByteView{*bytes}.subspan(directory.records_end(), directory.padding_bytes));
    if (!padding) verdict.pack_damage.push_back(name.object() + ": " + padding.error().text);
    return verdict;
}

Result<PackVerdict> verify_pack_name(BlockStore& store, const PackName& name) {
    PackVerdict verdict;
    SP_ASSIGN(const auto bytes, prove_name(store, name, verdict));
    if (!bytes || !verdict.pack_damage.empty()) return verdict;
    const Status ends = check_ends(*bytes);
    if (!ends) verdict.pack_damage.push_back(name.object() + ": " + ends.error().text);
    return verdict;
}

Result<PackListing> list_packs(BlockStore& store) {
    SP_ASSIGN(const auto objects, store.list(names::packs));
    PackListing listing;
    for (const ObjectInfo& object : objects) {
        const auto name = PackName::parse_object(object.name);
        if (name) {
            listing.packs.push_back(*name);
        } else {
            listing.strangers.push_back(object.name);
        }
        listing.bytes += object.size.raw();
    }
    std::sort(listing.packs.begin(), listing.packs.end());
    return listing;
}

}  // namespace stillpoint::vault
