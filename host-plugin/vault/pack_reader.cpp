#include "vault/pack_reader.hpp"

#include "base/check.hpp"
#include "base/hex.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

// About 600 directories of full data packs, 19 GiB of vault; map packs have fewer, longer ones.
constexpr std::size_t cache_bytes_max = 20u << 20;

// Trailer and directory of most packs; a pack of map nodes alone often is no longer.
constexpr ByteCount end_bytes{48u << 10};

std::size_t weight_of(const PackDirectory& directory) {
    constexpr std::size_t base_bytes = 80;  // a node of the map
    return 1024 + directory.entries.size() * sizeof(DirectoryEntry) +
           directory.bases.size() * base_bytes;
}

tl::unexpected<Error> pack_error(const PackName& name, const Error& cause) {
    const bool missing = cause.code == Errc::not_found;
    if (!missing && cause.code != Errc::corrupt) return fail(in_step(name.object(), cause));
    return fail(Errc::corrupt, "vault.pack_damaged",
                name.object() + (missing ? " is missing" : ": " + cause.text));
}

tl::unexpected<Error> chunk_error(const PackName& name, const DirectoryEntry& entry) {
    return fail(Errc::corrupt, "vault.chunk_damaged",
                "chunk " + to_hex(entry.id.view()) + " in " + name.object() +
                    " is damaged (bytes " + std::to_string(entry.offset) + " to " +
                    std::to_string(entry.offset + entry.stored_bytes) + ")");
}

}  // namespace

Result<std::shared_ptr<const PackReader::Loaded>> PackReader::load(const PackName& name) const {
    const std::string object = name.object();
    SP_ASSIGN(const ObjectEnd end, core_.store.get_end(object, end_bytes));
    const std::uint64_t bytes = end.size.raw();
    if (bytes < object_header_bytes + pack_trailer_bytes) {
        return fail(Errc::corrupt, "vault.pack_damaged", "shorter than any pack");
    }
    Bytes far;  // what the end does not have
    const auto part = [&](std::uint64_t at, std::size_t length) -> Result<ByteView> {
        const std::uint64_t end_at = bytes - end.bytes.size();
        if (at >= end_at) return ByteView{end.bytes}.subspan(at - end_at, length);
        SP_ASSIGN(far, core_.store.get(object, ByteOffset{at}, ByteCount{length}));
        return ByteView{far};
    };
    SP_ASSIGN(const ByteView head, part(0, object_header_bytes));
    SP_ASSIGN(const Salt salt, read_object_header(head, ObjectKind::pack));
    const std::uint64_t trailer_at = bytes - pack_trailer_bytes;
    SP_ASSIGN(const ByteView trailer, part(trailer_at, pack_trailer_bytes));
    chunk::SealKey key = core_.keys.object_key(ObjectKind::pack, salt);
    const VaultId& vault = core_.keys.vault_id();
    SP_ASSIGN(const std::uint32_t sealed_bytes, open_trailer(vault, key, trailer, bytes));
    SP_ASSIGN(const ByteView sealed, part(trailer_at - sealed_bytes, sealed_bytes));
    SP_ASSIGN(PackDirectory directory, open_directory(vault, key, sealed, bytes));
    directory.salt = salt;
    return std::make_shared<const Loaded>(Loaded{std::move(directory), std::move(key)});
}

std::shared_ptr<const PackReader::Loaded> PackReader::cached(const PackName& name) {
    const std::scoped_lock lock{mutex_};
    const auto found = slots_.find(name);
    if (found == slots_.end()) return nullptr;
    newest_first_.splice(newest_first_.begin(), newest_first_, found->second.age);
    return found->second.loaded;
}

void PackReader::keep(const PackName& name, const std::shared_ptr<const Loaded>& loaded) {
    const std::scoped_lock lock{mutex_};
    if (slots_.contains(name)) return;  // another thread loaded it meanwhile
    newest_first_.push_front(name);
    slots_.emplace(name, Slot{loaded, newest_first_.begin()});
    cached_bytes_ += weight_of(loaded->directory);
    while (cached_bytes_ > cache_bytes_max && newest_first_.size() > 1) {
        const auto oldest = slots_.find(newest_first_.back());
        cached_bytes_ -= weight_of(oldest->second.loaded->directory);
        slots_.erase(oldest);
        newest_first_.pop_back();
    }
}

Result<std::shared_ptr<const PackReader::Loaded>> PackReader::loaded(const PackName& name) {
    if (auto known = cached(name)) return known;
    auto fresh = read_proven(core_.store, name.object(), [&] { return load(name); });
    if (!fresh) return pack_error(name, fresh.error());
    keep(name, *fresh);
    return std::move(*fresh);
}

Result<std::shared_ptr<const PackDirectory>> PackReader::directory(const PackName& name) {
    SP_ASSIGN(const auto pack, loaded(name));
    return std::shared_ptr<const PackDirectory>{pack, &pack->directory};
}

Result<Bytes> PackReader::open(const PackName& name, const Loaded& pack, std::uint32_t slot,
                               ByteView sealed) const {
    const DirectoryEntry& entry = pack.directory.entries[slot];
    const Bytes associated =
        record_associated(core_.keys.vault_id(), entry, pack.directory.base_of(slot));
    auto payload = pack.key.open(slot, associated, sealed);
    if (!payload) return chunk_error(name, entry);
    return payload;
}

Result<Bytes> PackReader::payload(const PackName& name, std::uint32_t slot, Next next) {
    SP_ASSIGN(const auto pack, loaded(name));
    SP_CHECK(slot < pack->directory.entries.size());
    const DirectoryEntry& entry = pack->directory.entries[slot];
    return read_proven(core_.store, name.object(), [&]() -> Result<Bytes> {
        if (next == Next::neighbours) {
            const auto sealed = ahead_.get(core_.store, name, pack->directory, slot);
            if (!sealed) return pack_error(name, sealed.error());
            auto payload = open(name, *pack, slot, sealed->bytes);
            if (!payload) ahead_.forget(name);  // who asks again shall not get the same bytes
            return payload;
        }
        const auto sealed =
            core_.store.get(name.object(), ByteOffset{entry.offset}, ByteCount{entry.stored_bytes});
        if (!sealed) return pack_error(name, sealed.error());
        return open(name, *pack, slot, *sealed);
    });
}

Result<Bytes> PackReader::record(const PackName& name, std::uint32_t slot, Next next) {
    SP_ASSIGN(const auto pack, loaded(name));
    SP_ASSIGN(const Bytes payload, this->payload(name, slot, next));
    const DirectoryEntry& entry = pack->directory.entries[slot];
    auto plaintext = core_.compressor.decompress(entry.codec, payload, entry.plain_bytes);
    if (plaintext || plaintext.error().code == Errc::unsupported) return plaintext;
    return chunk_error(name, entry);
}

void PackReader::remember(const PackName& name, PackDirectory directory) {
    chunk::SealKey key = core_.keys.object_key(ObjectKind::pack, directory.salt);
    keep(name, std::make_shared<const Loaded>(Loaded{std::move(directory), std::move(key)}));
}

void PackReader::forget_all() {
    const std::scoped_lock lock{mutex_};
    slots_.clear();
    newest_first_.clear();
    cached_bytes_ = 0;
}

}  // namespace stillpoint::vault
