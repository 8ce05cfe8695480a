#include "env/steady_file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace stillpoint::env {
namespace {

// A FIFO or a device must not keep us in open(2).
constexpr int open_flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

/// Where names are looked up: a folder that is open, or the whole path.
struct Place {
    int folder = AT_FDCWD;
    Path path = {};  // of the folder, for messages
    [[nodiscard]] std::string text(const std::string& name) const { return (path / name).string(); }
};

tl::unexpected<Error> not_regular(const std::string& file, const char* what) {
    return fail(Errc::invalid, "file.not_regular", file + " is " + what);
}

Result<UniqueFd> open_here(const Place& place, const std::string& name, int more_flags) {
    UniqueFd fd{::openat(place.folder, name.c_str(), open_flags | more_flags)};
    if (fd.valid()) return fd;
    const int error = errno;
    struct stat info {};
    const bool link = ::fstatat(place.folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                      S_ISLNK(info.st_mode);
    if (link) return not_regular(place.text(name), "a symbolic link");
    return fail(os_error("open " + place.text(name), error));
}

Result<FileStamp> stamp_if_regular(int fd, const std::string& file) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return fail(os_error("stat " + file, errno));
    if (!S_ISREG(info.st_mode)) return not_regular(file, "no regular file");
    return stamp_of_fd(fd, file);
}

Result<SteadyFile> read_once(const Place& place, const std::string& name, std::size_t bytes_max) {
    const std::string file = place.text(name);
    SP_ASSIGN(const UniqueFd fd, open_here(place, name, 0));
    SteadyFile read{.name = name, .content = {}, .stamp = {}};
    SP_ASSIGN(read.stamp, stamp_if_regular(fd.get(), file));
    if (read.stamp.size > bytes_max) {
        return fail(Errc::invalid, "file.too_large",
                    file + " has " + std::to_string(read.stamp.size) + " bytes, more than " +
                        std::to_string(bytes_max));
    }
    SP_TRY(settle(read.stamp, SystemClock{}, CancelToken{}));
    read.content.resize(read.stamp.size);
    SP_TRY(read_at(fd.get(), ByteOffset{0}, read.content, file));
    return read;
}

/// The name still leads to the file that was read, and nobody has changed that.
Result<bool> unchanged(const Place& place, const SteadyFile& read) {
    const auto again = open_here(place, read.name, 0);
    if (!again && again.error().code == Errc::not_found) return false;
    if (!again) return fail(again.error());
    SP_ASSIGN(const FileStamp now, stamp_if_regular(again->get(), place.text(read.name)));
    return now == read.stamp;
}

// It shrank, or went from a folder, while it was read: that is a change like any other.
bool may_be_torn(const Error& error) {
    return error.id == "file.short";
}

bool left_out(std::string_view name) {
    return name.starts_with(".") || name.starts_with("TMP");
}

Result<std::vector<std::string>> names_in(int folder, const Path& path) {
    // fdopendir takes over its descriptor, and each listing needs a position of its own.
    UniqueFd own{::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!own.valid()) return fail(os_error("list " + path.string(), errno));
    const std::unique_ptr<DIR, int (*)(DIR*)> listing{::fdopendir(own.get()), ::closedir};
    if (!listing) return fail(os_error("list " + path.string(), errno));
    static_cast<void>(own.release());
    std::vector<std::string> names;
    errno = 0;
    for (const dirent* entry = ::readdir(listing.get()); entry != nullptr;
         entry = ::readdir(listing.get())) {
        const std::string name{&entry->d_name[0]};
        if (!left_out(name)) names.push_back(name);
    }
    if (errno != 0) return fail(os_error("list " + path.string(), errno));
    std::sort(names.begin(), names.end());
    return names;
}

using Files = std::vector<SteadyFile>;

Result<Files> read_folder_once(const Place& place, const SteadyLimits& limits) {
    SP_ASSIGN(const auto names, names_in(place.folder, place.path));
    if (names.size() > limits.files_max) {
        return fail(Errc::invalid, "file.too_many",
                    place.path.string() + " holds " + std::to_string(names.size()) +
                        " files, more than " + std::to_string(limits.files_max));
    }
    Files files;
    std::size_t left = limits.bytes_max;
    for (const std::string& name : names) {
        auto file = read_once(place, name, left);
        if (!file && file.error().code == Errc::not_found) {
            return fail(Errc::corrupt, "file.short", place.text(name) + " went while it was read");
        }
        if (!file) return fail(file.error());
        left -= file->content.size();
        files.push_back(std::move(*file));
    }
    return files;
}

Result<bool> folder_unchanged(const Place& place, const Files& files) {
    SP_ASSIGN(const auto names, names_in(place.folder, place.path));
    const bool same_names =
        std::equal(names.begin(), names.end(), files.begin(), files.end(),
                   [](const std::string& name, const SteadyFile& f) { return f.name == name; });
    if (!same_names) return false;
    for (const SteadyFile& file : files) {
        SP_ASSIGN(const bool same, unchanged(place, file));
        if (!same) return false;
    }
    return true;
}

/// Reads until nothing has changed meanwhile.
template <class T>
Result<T> until_steady(const std::string& what, const SteadyLimits& limits,
                       const std::function<Result<T>()>& read,
                       const std::function<Result<bool>(const T&)>& unchanged) {
    for (unsigned attempt = 0; attempt < limits.tries; ++attempt) {
        auto found = read();
        if (!found && may_be_torn(found.error())) continue;
        if (!found) return found;
        if (limits.after_reading) limits.after_reading();
        SP_ASSIGN(const bool whole, unchanged(*found));
        if (whole) return found;
    }
    return fail(Errc::busy, "file.unsteady",
                what + " changed each of " + std::to_string(limits.tries) + " times it was read");
}

}  // namespace

Result<SteadyFile> read_steady_file(const Path& file, const SteadyLimits& limits) {
    const Place place;
    return until_steady<SteadyFile>(
        file.string(), limits, [&] { return read_once(place, file.string(), limits.bytes_max); },
        [&](const SteadyFile& read) { return unchanged(place, read); });
}

Result<std::vector<SteadyFile>> read_steady_folder(const Path& folder, const SteadyLimits& limits) {
    SP_ASSIGN(const UniqueFd fd, open_here({}, folder.string(), O_DIRECTORY));
    const Place place{fd.get(), folder};
    return until_steady<Files>(
        folder.string(), limits, [&] { return read_folder_once(place, limits); },
        [&](const Files& files) { return folder_unchanged(place, files); });
}

}  // namespace stillpoint::env
