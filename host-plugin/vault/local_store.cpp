#include "vault/local_store.hpp"

#include <fcntl.h>

#include <algorithm>

#include "vault/object_names.hpp"

namespace stillpoint::vault {
namespace {

constexpr mode_t folder_mode = 0700;
constexpr mode_t object_mode = 0400;
constexpr std::chrono::hours stale_after{24};  // longer than any single write takes
constexpr int folder_depth_max = 4;            // ours need 2
constexpr std::size_t config_bytes_max = 64u << 10;
constexpr std::uint64_t bulk_bytes = 8u << 20;  // read at once by nobody but a check of whole packs

tl::unexpected<Error> store_error(const std::string& name, Error error) {
    if (error.code == Errc::not_found) {
        return fail(Errc::not_found, "store.missing", "no object " + name);
    }
    if (error.id == "file.short") error.id = "store.short";
    return fail(std::move(error));
}

std::uint64_t to_epoch(std::chrono::nanoseconds time) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
}

}  // namespace

Result<std::unique_ptr<LocalStore>> LocalStore::open(const env::Path& root,
                                                     const env::Clock& clock) {
    env::Path folder = root.lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();  // a slash at the end
    std::unique_ptr<LocalStore> store{new LocalStore{folder}};  // NOLINT: private
    SP_TRY(store->remove_stale(clock));
    (void)store->recognize();  // what cannot be read is told by who needs it
    return store;
}

Status LocalStore::recognize() {
    const env::Path path = root_ / names::config;
    SP_ASSIGN(Bytes config, env::read_file(path, config_bytes_max));
    SP_ASSIGN(const env::FileStamp stamp, env::stamp_of(path));
    const std::scoped_lock lock{mutex_};
    config_ = std::move(config);
    config_stamp_ = stamp;
    return {};
}

Status LocalStore::still_there() {
    const env::Path path = root_ / names::config;
    const auto stamp = env::stamp_of(path);
    const std::scoped_lock lock{mutex_};
    if (config_.empty()) return {};
    if (stamp && *stamp == config_stamp_) return {};
    // Mounted again, or by a server that numbers its files anew: still the same vault.
    const auto config = env::read_file(path, config_bytes_max);
    if (config && stamp && *config == config_) {
        config_stamp_ = *stamp;
        return {};
    }
    return fail(Errc::io, "store.vanished",
                "the vault is no longer at " + root_.string() + (config ? ": another one is" : ""),
                "see whether its file system was unmounted, or another one mounted over it");
}

tl::unexpected<Error> LocalStore::failed(const std::string& name, Error error) {
    const Status there = still_there();
    return there ? store_error(name, std::move(error)) : fail(there.error());
}

Status LocalStore::remove_stale(const env::Clock& clock) const {
    const env::Path folder = root_ / names::tmp;
    const auto files = env::list_folder(folder);
    if (!files) return {};  // no tmp/, or not ours to clean: reading works without
    for (const std::string& file : *files) {
        const auto modified = env::modified_at(folder / file);
        if (modified && *modified + stale_after < clock.wall()) {
            (void)env::remove_file(folder / file);  // a read-only store stays as it is
        }
    }
    return {};
}

Status LocalStore::make_durable_folder(const env::Path& folder) {
    const std::scoped_lock lock{mutex_};
    if (durable_folders_.contains(folder)) return {};
    SP_TRY(env::make_folders(folder, folder_mode));
    // A folder that is there may have been made a moment ago, by a process that lost power or by
    // one that has not synced yet: an object in it is durable only with all names that lead to it.
    for (env::Path at = folder; at != root_ && at.has_relative_path(); at = at.parent_path()) {
        SP_TRY(env::sync_folder(at.parent_path()));
    }
    // The folder around the vault may be somebody else's, who made the vault's folder for us.
    const Status around = env::sync_folder(root_.parent_path());
    if (!around && around.error().code != Errc::denied) return around;
    durable_folders_.insert(folder);
    return {};
}

Status LocalStore::write(const env::Path& path, ByteView bytes) {
    SP_TRY(env::make_folders(root_ / names::tmp, folder_mode));
    SP_TRY(make_durable_folder(path.parent_path()));
    return env::write_durably(path, bytes, object_mode, root_ / names::tmp);
}

Status LocalStore::put(const std::string& name, ByteView bytes) {
    SP_TRY(names::check(name));
    const env::Path path = root_ / name;
    SP_TRY(still_there());
    const Status written = write(path, bytes);
    SP_TRY(still_there());
    if (!written && written.error().id == "file.exists") {
        return fail(Errc::busy, "store.exists", "object " + name + " exists");
    }
    if (written && name == names::config) return recognize();
    return written;
}

Result<Bytes> LocalStore::get(const std::string& name, ByteOffset at, ByteCount length) {
    return get_reusing(name, at, length, {});
}

Result<Bytes> LocalStore::get_reusing(const std::string& name, ByteOffset at, ByteCount length,
                                      Bytes spent) {
    SP_TRY(names::check(name));
    const env::Path path = root_ / name;
    const auto fd = env::open_file(path, O_RDONLY);
    if (!fd) return failed(name, fd.error());
    // Compared before anything is allocated: the length may come from damaged bytes.
    const auto have = env::file_size(path);
    if (!have) return failed(name, have.error());
    if (at.raw() > have->raw() || length.raw() > have->raw() - at.raw()) {
        return failed(name,
                      {Errc::corrupt, "store.short",
                       "object " + name + " has only " + std::to_string(have->raw()) + " bytes"});
    }
    if (spent.capacity() < length.raw()) spent = Bytes{};  // first, not beside the new
    spent.resize(length.raw());
    const Status read = env::read_at(fd->get(), at, spent, path);
    if (!read) return failed(name, read.error());
    // A check goes through all packs once: it must not push out what the host's guests have cached.
    if (length.raw() >= bulk_bytes) {
        ::posix_fadvise(fd->get(), static_cast<off_t>(at.raw()), static_cast<off_t>(length.raw()),
                        POSIX_FADV_DONTNEED);
    }
    return spent;
}

Result<ByteCount> LocalStore::size(const std::string& name) {
    SP_TRY(names::check(name));
    const auto bytes = env::file_size(root_ / name);
    if (bytes) return *bytes;
    return failed(name, bytes.error());
}

Status LocalStore::list_below(const std::string& folder, const std::string& prefix,
                              std::vector<ObjectInfo>& found) const {
    if (std::count(folder.begin(), folder.end(), '/') > folder_depth_max) return {};
    const auto entries = env::list_folder(root_ / folder);
    if (!entries && entries.error().code == Errc::not_found) return {};
    if (!entries) return fail(entries.error());
    for (const std::string& entry : *entries) {
        const std::string name = folder + entry;
        const std::size_t common = std::min(name.size(), prefix.size());
        if (!names::check(name) || name + "/" == names::tmp ||
            name.compare(0, common, prefix, 0, common) != 0) {
            continue;
        }
        if (std::filesystem::is_directory(std::filesystem::symlink_status(root_ / name))) {
            SP_TRY(list_below(name + "/", prefix, found));
        } else if (name.size() >= prefix.size()) {
            const auto bytes = env::file_size(root_ / name);
            const auto modified = env::modified_at(root_ / name);
            if (bytes) found.push_back({name, *bytes, modified ? to_epoch(*modified) : 0});
            if (!bytes && bytes.error().code != Errc::not_found) return fail(bytes.error());
        }
    }
    return {};
}

Result<std::vector<ObjectInfo>> LocalStore::list(const std::string& prefix) {
    std::vector<ObjectInfo> found;
    const std::size_t slash = prefix.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : prefix.substr(0, slash + 1);
    const Status listed = list_below(folder, prefix, found);
    SP_TRY(still_there());
    SP_TRY(listed);
    std::sort(found.begin(), found.end(),
              [](const ObjectInfo& a, const ObjectInfo& b) { return a.name < b.name; });
    return found;
}

Status LocalStore::remove(const std::string& name) {
    SP_TRY(names::check(name));
    const env::Path path = root_ / name;
    const Status removed = env::remove_file(path);
    SP_TRY(still_there());
    SP_TRY(removed);
    // Also where it was gone: who removed it may have been killed before this.
    const Status synced = env::sync_folder(path.parent_path());
    if (!synced && synced.error().code == Errc::not_found) return {};
    return synced;
}

}  // namespace stillpoint::vault
