#include "env/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace stillpoint::env {

Result<UniqueFd> open_file(const Path& path, int flags, mode_t mode) {
    UniqueFd fd{::open(path.c_str(), flags | O_CLOEXEC, mode)};
    if (!fd.valid()) return fail(os_error("open " + path.string(), errno));
    return fd;
}

Result<Bytes> read_file(const Path& path, std::size_t bytes_max) {
    SP_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
    Bytes bytes;
    while (true) {
        // One byte more than allowed, so that a file that is too long shows itself.
        const std::size_t step = std::min<std::size_t>(64u << 10, bytes_max - bytes.size()) + 1;
        const std::size_t have = bytes.size();
        bytes.resize(have + step);
        const ssize_t n = ::read(fd.get(), bytes.data() + have, step);
        if (n < 0 && errno == EINTR) {
            bytes.resize(have);
            continue;
        }
        if (n < 0) return fail(os_error("read " + path.string(), errno));
        bytes.resize(have + static_cast<std::size_t>(n));
        if (bytes.size() > bytes_max) {
            return fail(Errc::invalid, "file.too_large",
                        path.string() + " is larger than " + std::to_string(bytes_max) + " bytes");
        }
        if (n == 0) return bytes;
    }
}

Result<ByteCount> file_size(const Path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return fail(os_error("stat " + path.string(), errno));
    return ByteCount{static_cast<std::uint64_t>(info.st_size)};
}

Result<std::chrono::nanoseconds> modified_at(const Path& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return fail(os_error("stat " + path.string(), errno));
    return std::chrono::seconds{info.st_mtim.tv_sec} +
           std::chrono::nanoseconds{info.st_mtim.tv_nsec};
}

Status read_at(int fd, ByteOffset at, std::span<std::byte> into, const Path& name) {
    std::uint64_t offset = at.raw();
    while (!into.empty()) {
        const ssize_t n = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(os_error("read " + name.string(), errno));
        if (n == 0) {
            return fail(
                Errc::corrupt, "file.short",
                name.string() + " ends before byte " + std::to_string(offset + into.size()));
        }
        into = into.subspan(static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
    }
    return {};
}

Status write_at(int fd, ByteOffset at, ByteView bytes, const Path& name) {
    std::uint64_t offset = at.raw();
    while (!bytes.empty()) {
        const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(os_error("write " + name.string(), errno));
        if (n == 0) return fail(os_error("write " + name.string(), EIO));
        bytes = bytes.subspan(static_cast<std::size_t>(n));
        offset += static_cast<std::uint64_t>(n);
    }
    return {};
}

Status sync_folder(const Path& folder) {
    SP_ASSIGN(const UniqueFd fd, open_file(folder, O_RDONLY | O_DIRECTORY));
    if (::fsync(fd.get()) != 0) return fail(os_error("sync " + folder.string(), errno));
    return {};
}

namespace {

Status make_folder(const Path& folder, mode_t mode) {
    if (::mkdir(folder.c_str(), mode) == 0) {
        return sync_folder(folder.has_parent_path() ? folder.parent_path() : Path{"."});
    }
    const int error = errno;
    struct stat info {};
    if (error == EEXIST && ::stat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
    return fail(os_error("create folder " + folder.string(), error == EEXIST ? ENOTDIR : error));
}

}  // namespace

Status make_folders(const Path& folder, mode_t mode) {
    if (folder.empty() || folder == folder.root_path()) return {};
    Status made = make_folder(folder, mode);
    if (made || made.error().code != Errc::not_found || !folder.has_parent_path()) return made;
    SP_TRY(make_folders(folder.parent_path(), mode));
    return make_folder(folder, mode);
}

Result<std::vector<std::string>> list_folder(const Path& folder) {
    std::error_code error;
    std::filesystem::directory_iterator it{folder, error};
    std::vector<std::string> names;
    while (!error && it != std::filesystem::directory_iterator{}) {
        names.push_back(it->path().filename().string());
        it.increment(error);
    }
    if (error) return fail(os_error("list " + folder.string(), error.value()));
    std::sort(names.begin(), names.end());
    return names;
}

Status remove_file(const Path& path) {
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
    return fail(os_error("remove " + path.string(), errno));
}

Status remove_tree(const Path& folder) {
    const auto levels = std::distance(folder.begin(), folder.end()) - 1;  // the root is no level
    if (!folder.is_absolute() || folder != folder.lexically_normal() || !folder.has_filename() ||
        levels < 2) {
        return fail(Errc::invalid, "file.not_removable",
                    "'" + folder.string() + "' is no folder that may be removed whole");
    }
    std::error_code error;
    std::filesystem::remove_all(folder, error);
    if (error) return fail(os_error("remove " + folder.string(), error.value()));
    return {};
}

Result<FileLock> FileLock::take(const Path& path) {
    SP_ASSIGN(UniqueFd fd, open_file(path, O_RDWR | O_CREAT, 0600));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return fail(Errc::busy, "lock.held", path.string() + " is held by another process",
                        "wait until it has finished");
        }
        return fail(os_error("lock " + path.string(), errno));
    }
    return FileLock{std::move(fd), path};
}

Result<TemporaryFolder> TemporaryFolder::create(const Path& parent, const std::string& prefix) {
    std::string name = (parent / (prefix + "XXXXXX")).string();
    if (::mkdtemp(name.data()) == nullptr) return fail(os_error("create folder " + name, errno));
    return TemporaryFolder{name};
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;  // a destructor cannot report; what stays is in a folder named for us
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace stillpoint::env
