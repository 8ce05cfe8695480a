#include "vault/pack_check.hpp"

#include <algorithm>

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
    chunk::SealKey key = core.keys.object_key(ObjectKind::pack, salt);
    SP_ASSIGN(PackDirectory directory, directory_of(core.keys.vault_id(), key, bytes));
    return WholePack{std::move(directory), std::move(key)};
}

void check_records(const VaultCore& core, const WholePack& pack, PackMemory& memory,
                   PackVerdict& verdict) {
    const ByteView bytes = memory.pack;
    Bytes& plaintext = memory.plaintext;
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

Status read_whole(BlockStore& store, const std::string& object, PackMemory& memory) {
    SP_ASSIGN(const ByteCount size, store.size(object));
    if (size.raw() > pack_bytes_max) {
        return fail(Errc::corrupt, "vault.pack_damaged", "it is longer than any pack");
    }
    SP_ASSIGN(memory.pack, store.get_reusing(object, ByteOffset{0}, size, std::move(memory.pack)));
    return {};
}

/// Reads the pack's bytes and compares them with its name.
/// @return false: there is nothing to look into; the verdict says why
Result<bool> prove_name(BlockStore& store, const PackName& name, PackMemory& memory,
                        PackVerdict& verdict) {
    const std::string object = name.object();
    const Status read = read_whole(store, object, memory);
    if (!read) {
        const Errc code = read.error().code;
        if (code != Errc::not_found && code != Errc::corrupt) return fail(read.error());
        verdict.missing = code == Errc::not_found;
        verdict.pack_damage.push_back(verdict.missing ? object + " is missing"
                                                      : object + ": " + read.error().text);
        return false;
    }
    verdict.bytes_read = memory.pack.size();
    if (PackName::of(memory.pack) != name) {
        verdict.pack_damage.push_back(object + ": its bytes are not what its name says");
    }
    return true;
}

Status check_ends(ByteView bytes) {
    if (bytes.size() < object_header_bytes + pack_trailer_bytes) {
        return fail(Errc::corrupt, "vault.pack_damaged", "it is shorter than any pack");
    }
    SP_TRY(read_object_header(bytes, ObjectKind::pack));
    return check_trailer_mark(bytes.last(pack_trailer_bytes));
}

}  // namespace

Result<PackVerdict> verify_pack(const VaultCore& core, const PackName& name, PackMemory& memory) {
    PackVerdict verdict;
    SP_ASSIGN(const bool there, prove_name(core.store, name, memory, verdict));
    if (!there) return verdict;
    const auto pack = open_pack(core, memory.pack);
    if (!pack) {
        verdict.pack_damage.push_back(name.object() + ": " + pack.error().text);
        return verdict;
    }
    verdict.directory_readable = true;
    check_records(core, *pack, memory, verdict);
    const PackDirectory& directory = pack->directory;
    const ByteView bytes = memory.pack;
    const Status padding =
        check_padding(core.keys.vault_id(), pack->key,
                      bytes.subspan(directory.records_end(), directory.padding_bytes));
    if (!padding) verdict.pack_damage.push_back(name.object() + ": " + padding.error().text);
    return verdict;
}

Result<PackVerdict> verify_pack(const VaultCore& core, const PackName& name) {
    PackMemory memory;
    return verify_pack(core, name, memory);
}

Result<PackVerdict> verify_pack_name(BlockStore& store, const PackName& name, PackMemory& memory) {
    PackVerdict verdict;
    SP_ASSIGN(const bool there, prove_name(store, name, memory, verdict));
    if (!there || !verdict.pack_damage.empty()) return verdict;
    const Status ends = check_ends(memory.pack);
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
        listing.largest_bytes = std::max(listing.largest_bytes, object.size.raw());
    }
    std::sort(listing.packs.begin(), listing.packs.end());
    return listing;
}

}  // namespace stillpoint::vault
