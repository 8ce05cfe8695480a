#include "freeze/freeze_lock.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <functional>

namespace stillpoint::linux_guest {
namespace {

using os::boottime;
using os::Nanoseconds;

constexpr Nanoseconds look_every = std::chrono::milliseconds{20};

Result<os::UniqueFd> open_lock(const std::string& path, mode_t mode) {
    os::UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode)};
    if (!file.valid()) return fail(os::os_error("open " + path, errno));
    return file;
}

bool lock_whole(int fd) {
    return ::flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/// As fcntl(2) users lock it: a descriptor of another process does not share it.
bool lock_record(int fd) {
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    return ::fcntl(fd, F_SETLK, &whole) == 0;
}

/// The other users of a cloud's lock remove the file when they are done: a lock on a file that is
/// no longer there excludes nobody.
bool still_there(int fd, const std::string& path) {
    struct stat held {};
    struct stat found {};
    return ::fstat(fd, &held) == 0 && ::stat(path.c_str(), &found) == 0 &&
           held.st_dev == found.st_dev && held.st_ino == found.st_ino;
}

/// Tries until it has the lock or the time is up.
Result<os::UniqueFd> await_lock(const std::string& path, bool (*lock)(int), Nanoseconds until,
                                os::Waiter& waiter) {
    for (;;) {
        SP_ASSIGN(os::UniqueFd file, open_lock(path, 0600));
        if (lock(file.get()) && still_there(file.get(), path)) return file;
        const Nanoseconds now = boottime();
        if (now >= until) {
            return fail(Errc::busy, "freeze.locked",
                        "another program freezes filesystems: it holds the lock " + path,
                        "wait until it is done; fuser " + path + " names it");
        }
        if (waiter.wait({}, now + look_every) == os::WaitEnd::cancelled) {
            return fail(Errc::cancelled, "freeze.cancelled", "cancelled before the first freeze");
        }
    }
}

bool is_folder(const std::string& path) {
    struct stat found {};
    return ::stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

}  // namespace

Result<FreezeLock> FreezeLock::take(const FreezePlaces& places, os::Waiter& waiter,
                                    Nanoseconds wait) {
    const Nanoseconds until = boottime() + wait;
    ::mkdir(places.folder.c_str(), 0700);  // it may be there; else opening says what is wrong
    FreezeLock lock;
    SP_ASSIGN(lock.own_, await_lock(places.lock_file(), lock_whole, until, waiter));
    if (is_folder(places.cloud_folder)) {
        SP_ASSIGN(lock.cloud_, await_lock(places.cloud_file(), lock_record, until, waiter));
    }
    return lock;
}

os::UniqueFd lock_agent(const FreezePlaces& places) {
    ::mkdir(places.folder.c_str(), 0700);
    auto file = open_lock(places.agent_file(), 0600);
    return file && lock_whole(file->get()) ? *std::move(file) : os::UniqueFd{};
}

bool is_memory(const std::string& folder) {
    struct statfs found {};
    if (::statfs(folder.c_str(), &found) != 0) return false;
    return found.f_type == TMPFS_MAGIC || static_cast<unsigned long>(found.f_type) == RAMFS_MAGIC;
}

}  // namespace stillpoint::linux_guest
