#include "vault/open_pack.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {

OpenPack::OpenPack(const VaultCore& core, Content content, PackBuffer buffer)
    : core_(core),
      buffer_(std::move(buffer)),
      directory_{content, 0, 0, random_salt(core.random), {}, {}},
      key_(core.keys.object_key(ObjectKind::pack, directory_.salt)) {
    Bytes header;
    write_object_header(header, ObjectKind::pack, directory_.salt);
    std::copy(header.begin(), header.end(), buffer_.get());
    used_bytes_ = header.size();
}

bool OpenPack::fits(const chunk::Payload& payload) const {
    const std::size_t entries = directory_.entries.size();
    const std::size_t deltas = directory_.bases.size() + (payload.base ? 1 : 0);
    return entries < pack_records_max && used_bytes_ + payload.bytes.size() +
                                                 chunk::seal_overhead_bytes +
                                                 pack_end_bytes(entries + 1, deltas) <=
                                             core_.config.pack_bytes;
}

DirectoryEntry OpenPack::reserve(const chunk::ChunkId& id, const chunk::Payload& payload,
                                 std::uint32_t plain_bytes, std::uint32_t* slot) {
    const std::size_t stored = payload.bytes.size() + chunk::seal_overhead_bytes;
    const DirectoryEntry entry{id, payload.codec, plain_bytes, static_cast<std::uint32_t>(stored),
                               used_bytes_};
    *slot = static_cast<std::uint32_t>(directory_.entries.size());
    directory_.entries.push_back(entry);
    if (payload.base) directory_.bases[*slot] = *payload.base;
    used_bytes_ += stored;
    return entry;
}

void OpenPack::seal(std::uint32_t slot, const DirectoryEntry& entry,
                    const chunk::Payload& payload) const {
    key_.seal(slot, record_associated(core_.keys.vault_id(), entry, payload.base), payload.bytes,
              std::span{buffer_.get() + entry.offset, entry.stored_bytes});
}

Result<ByteView> OpenPack::complete() {
    const VaultId& vault = core_.keys.vault_id();
    const Bytes end = seal_pack_end(vault, key_, directory_, core_.config.pack_bytes);
    SP_CHECK(used_bytes_ + end.size() <= core_.config.pack_bytes);
    std::copy(end.begin(), end.end(), buffer_.get() + used_bytes_);
    const ByteView pack{buffer_.get(), used_bytes_ + end.size()};
    // Read back before it gets a name: what cannot be opened here never could be.
    SP_ASSIGN(const PackDirectory again, directory_of(vault, key_, pack));
    SP_CHECK(again.entries == directory_.entries && again.bases == directory_.bases);
    directory_.pack_bytes = pack.size();
    directory_.padding_bytes = again.padding_bytes;
    used_bytes_ = pack.size();
    return pack;
}

}  // namespace stillpoint::vault
