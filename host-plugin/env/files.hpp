#pragma once
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/quantity.hpp"
#include "env/fd.hpp"

namespace stillpoint::env {

using Path = std::filesystem::path;

/// open(2) with O_CLOEXEC added.
[[nodiscard]] Result<UniqueFd> open_file(const Path& path, int flags, mode_t mode = 0600);
/// @errors no_space: larger than bytes_max is Errc::invalid id "file.too_large"
[[nodiscard]] Result<Bytes> read_file(const Path& path, std::size_t bytes_max);
[[nodiscard]] Result<ByteCount> file_size(const Path& path);
/// @return wall-clock time of the last change of content, as Clock::wall()
[[nodiscard]] Result<std::chrono::nanoseconds> modified_at(const Path& path);
/// Reads exactly `into.size()` bytes at `at`; a short file is Errc::corrupt, id "file.short".
[[nodiscard]] Status read_at(int fd, ByteOffset at, std::span<std::byte> into, const Path& name);
/// Writes all bytes at `at`.
[[nodiscard]] Status write_at(int fd, ByteOffset at, ByteView bytes, const Path& name);
/// Creates `final_path` with exactly these bytes, durably: temporary beside it, write, fdatasync,
/// rename without replacing, fsync of the directory. Nothing is visible under the final name before
/// all bytes are durable. Large bytes in a PageBuffer go past the page cache: no copy, and the
/// host's cache stays what it was.
/// @errors busy, id "file.exists": the final name exists (left as it was)
[[nodiscard]] Status write_durably(const Path& final_path, ByteView bytes, mode_t mode,
                                   const Path& temporary_folder);
[[nodiscard]] Status sync_folder(const Path& folder);
/// Creates missing folders with this mode and syncs their parents.
[[nodiscard]] Status make_folders(const Path& folder, mode_t mode);
/// @return names (not paths), sorted; `.` and `..` left out
[[nodiscard]] Result<std::vector<std::string>> list_folder(const Path& folder);
/// Removing what does not exist is success.
[[nodiscard]] Status remove_file(const Path& path);

/// Removes a folder and all below it, following no symbolic link; success when there is none.
/// @errors invalid, id "file.not_removable": not absolute, not normalized, or of the first level
/// (a mistake must not reach /var) · denied, io: something stays
[[nodiscard]] Status remove_tree(const Path& folder);

/// An exclusive flock(2) on a file, created when missing; released by the destructor.
class FileLock {
public:
    /// @errors busy, id "lock.held": somebody else holds it (not waited for)
    static Result<FileLock> take(const Path& path);
    [[nodiscard]] const Path& path() const { return path_; }

private:
    FileLock(UniqueFd fd, Path path) : fd_(std::move(fd)), path_(std::move(path)) {}
    UniqueFd fd_;
    Path path_;
};

/// A private folder, 0700, removed with its content by the destructor.
class TemporaryFolder {
public:
    static Result<TemporaryFolder> create(const Path& parent, const std::string& prefix);
    TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    TemporaryFolder& operator=(TemporaryFolder&&) = delete;
    ~TemporaryFolder();
    [[nodiscard]] const Path& path() const { return path_; }

private:
    explicit TemporaryFolder(Path path) : path_(std::move(path)) {}
    Path path_;
};

}  // namespace stillpoint::env
