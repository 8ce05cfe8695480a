#include "env/file_stamp.hpp"

#include <sys/stat.h>

#include <cerrno>

#include "env/poll.hpp"

namespace stillpoint::env {
namespace {

Nanoseconds nanoseconds(const timespec& time) {
    return std::chrono::seconds{time.tv_sec} + Nanoseconds{time.tv_nsec};
}

FileStamp stamp_from(const struct stat& info) {
    return FileStamp{.device = info.st_dev,
                     .inode = info.st_ino,
                     .size = static_cast<std::uint64_t>(info.st_size),
                     .modified = nanoseconds(info.st_mtim),
                     .changed = nanoseconds(info.st_ctim),
                     .block_device = S_ISBLK(info.st_mode)};
}

}  // namespace

Result<FileStamp> stamp_of(const Path& file) {
    struct stat info {};
    if (::stat(file.c_str(), &info) != 0) return fail(os_error("stat " + file.string(), errno));
    return stamp_from(info);
}

Result<FileStamp> stamp_of_fd(int fd, const Path& file) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return fail(os_error("stat " + file.string(), errno));
    return stamp_from(info);
}

Status settle(const FileStamp& stamp, const Clock& clock, const CancelToken& cancel) {
    const bool whole_seconds = stamp.changed.count() % std::nano::den == 0;
    const Nanoseconds tick = whole_seconds ? stamp_second : stamp_tick_max;
    const Nanoseconds since = clock.wall() - stamp.changed;
    // A stamp from the future, as another machine's clock makes it, cannot be met again soon.
    if (since < -stamp_tick_max || since > tick) return {};
    return pause(tick - since, cancel);
}

}  // namespace stillpoint::env
