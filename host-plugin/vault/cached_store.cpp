#include "vault/cached_store.hpp"

#include "vault/object_names.hpp"

namespace stillpoint::vault {
namespace {

constexpr const char* whole = "whole";
constexpr const char* length = "length";

bool may_be_kept(const std::string& name) {
    return name.starts_with(names::points) || name.starts_with(names::index) ||
           name.starts_with(names::packs);
}

/// Of these a list tells what there is; a pack is never taken for there because it was once.
bool known_by_list(const std::string& name) {
    return name.starts_with(names::points) || name.starts_with(names::index);
}

std::string piece_of(ByteOffset at, ByteCount bytes) {
    return std::to_string(at.raw()) + "+" + std::to_string(bytes.raw());
}

}  // namespace

Status CachedStore::put(const std::string& name, ByteView bytes) {
    SP_TRY(below_->put(name, bytes));
    keep_whole(name, bytes);
    return {};
}

Status CachedStore::put_shared(const std::string& name, ByteView bytes,
                               const std::shared_ptr<const void>& owner) {
    SP_TRY(below_->put_shared(name, bytes, owner));
    keep_whole(name, bytes);
    return {};
}

/// What a backup writes, the next one reads: its point, its index, the nodes of its maps.
void CachedStore::keep_whole(const std::string& name, ByteView bytes) {
    if (!may_be_kept(name) || bytes.size() > DiskCache::piece_bytes_max) return;
    cache_.keep(name, whole, bytes);
}

std::optional<Bytes> CachedStore::find(const std::string& name, ByteOffset at, ByteCount bytes) {
    if (auto part = cache_.find_part(name, whole, {at, bytes})) return part;
    auto piece = cache_.find(name, piece_of(at, bytes));
    if (piece && piece->size() == bytes.raw()) return piece;
    return std::nullopt;
}

Result<Bytes> CachedStore::get(const std::string& name, ByteOffset at, ByteCount bytes) {
    if (name == names::config) {
        const std::scoped_lock lock{mutex_};
        Bytes& kept = config_[piece_of(at, bytes)];
        if (kept.empty()) {
            SP_ASSIGN(kept, below_->get(name, at, bytes));
        }
        return kept;
    }
    if (!may_be_kept(name) || bytes.raw() > DiskCache::piece_bytes_max) {
        return below_->get(name, at, bytes);
    }
    if (auto kept = find(name, at, bytes)) return std::move(*kept);
    auto got = below_->get(name, at, bytes);
    if (got) cache_.keep(name, piece_of(at, bytes), *got);
    return got;
}

std::optional<ByteCount> CachedStore::known_size(const std::string& name) {
    if (known_by_list(name)) {
        const std::scoped_lock lock{mutex_};
        const auto found = listed_.find(name);
        if (found != listed_.end()) return found->second;
    }
    if (!name.starts_with(names::packs)) return std::nullopt;
    // Of a pack: where its directory is. Whoever has to know that it exists asks for a list.
    if (const auto bytes = cache_.size(name, whole)) return *bytes;
    const auto text = cache_.find(name, length);
    if (!text || text->size() != sizeof(std::uint64_t)) return std::nullopt;
    return ByteCount{*ByteReader{*text}.u64()};
}

void CachedStore::keep_size(const std::string& name, ByteCount bytes) {
    if (!name.starts_with(names::packs)) return;
    Bytes text;
    ByteWriter{text}.u64(bytes.raw());
    cache_.keep(name, length, text);
}

Result<ByteCount> CachedStore::size(const std::string& name) {
    if (const auto known = known_size(name)) return *known;
    auto bytes = below_->size(name);
    if (bytes) keep_size(name, *bytes);
    return bytes;
}

Result<ObjectEnd> CachedStore::get_end(const std::string& name, ByteCount most) {
    if (known_size(name)) return BlockStore::get_end(name, most);
    auto end = below_->get_end(name, most);
    if (!end || !may_be_kept(name)) return end;
    if (end->is_whole()) {
        keep_whole(name, end->bytes);
    } else if (end->bytes.size() <= DiskCache::piece_bytes_max) {
        const ByteCount bytes{end->bytes.size()};
        cache_.keep(name, piece_of(ByteOffset{end->size.raw() - bytes.raw()}, bytes), end->bytes);
        keep_size(name, end->size);
    }
    return end;
}

Result<std::vector<ObjectInfo>> CachedStore::list(const std::string& prefix) {
    auto objects = below_->list(prefix);
    if (!objects || !known_by_list(prefix)) return objects;
    const std::scoped_lock lock{mutex_};
    std::erase_if(listed_, [&](const auto& known) { return known.first.starts_with(prefix); });
    for (const ObjectInfo& object : *objects) listed_.emplace(object.name, object.size);
    return objects;
}

Status CachedStore::remove(const std::string& name) {
    SP_TRY(below_->remove(name));
    doubt(name);
    return {};
}

bool CachedStore::doubt(const std::string& name) {
    {
        const std::scoped_lock lock{mutex_};
        listed_.erase(name);
        if (name == names::config) config_.clear();
    }
    return may_be_kept(name) && cache_.drop(name);
}

}  // namespace stillpoint::vault
