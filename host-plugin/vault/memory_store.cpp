#include "vault/memory_store.hpp"

#include "vault/object_names.hpp"

namespace stillpoint::vault {
namespace {

tl::unexpected<Error> missing(const std::string& name) {
    return fail(Errc::not_found, "store.missing", "no object " + name);
}

}  // namespace

Status MemoryStore::put(const std::string& name, ByteView bytes) {
    SP_TRY(names::check(name));
    const std::scoped_lock lock{mutex_};
    const std::int64_t now = clock_ == nullptr ? 0 : clock_->wall().count();
    if (!objects_.emplace(name, Object{to_bytes(bytes), static_cast<std::uint64_t>(now)}).second) {
        return fail(Errc::busy, "store.exists", "object " + name + " exists");
    }
    return {};
}

Result<Bytes> MemoryStore::get(const std::string& name, ByteOffset at, ByteCount length) {
    SP_TRY(names::check(name));
    const std::scoped_lock lock{mutex_};
    const auto found = objects_.find(name);
    if (found == objects_.end()) return missing(name);
    const ByteView object = found->second.bytes;
    if (at.raw() > object.size() || length.raw() > object.size() - at.raw()) {
        return fail(Errc::corrupt, "store.short",
                    "object " + name + " has only " + std::to_string(object.size()) + " bytes");
    }
    return to_bytes(object.subspan(at.raw(), length.raw()));
}

Result<ByteCount> MemoryStore::size(const std::string& name) {
    SP_TRY(names::check(name));
    const std::scoped_lock lock{mutex_};
    const auto found = objects_.find(name);
    if (found == objects_.end()) return missing(name);
    return ByteCount{found->second.bytes.size()};
}

Result<std::vector<ObjectInfo>> MemoryStore::list(const std::string& prefix) {
    const std::scoped_lock lock{mutex_};
    std::vector<ObjectInfo> found;
    for (auto it = objects_.lower_bound(prefix);
         it != objects_.end() && it->first.starts_with(prefix); ++it) {
        found.push_back({it->first, ByteCount{it->second.bytes.size()}, it->second.modified_ns});
    }
    return found;
}

Status MemoryStore::remove(const std::string& name) {
    SP_TRY(names::check(name));
    const std::scoped_lock lock{mutex_};
    objects_.erase(name);
    return {};
}

}  // namespace stillpoint::vault
