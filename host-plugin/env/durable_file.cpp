#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <new>

#include "env/files.hpp"
#include "env/page_buffer.hpp"
#include "env/random.hpp"

namespace stillpoint::env {

PageBuffer make_page_buffer(std::size_t bytes) {
    constexpr std::size_t large_page_bytes = 2u << 20;
    const std::size_t alignment =
        bytes >= large_page_bytes ? large_page_bytes : direct_alignment_bytes;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
    if (memory == nullptr) throw std::bad_alloc{};
    ::madvise(memory, rounded, MADV_HUGEPAGE);  // a kernel without them gives small ones
    return PageBuffer{memory};
}

namespace {

constexpr std::size_t step_bytes = 4u << 20;
constexpr std::size_t direct_from_bytes = 1u << 20;  // below, the copy costs less than the wait
constexpr int create_flags = O_WRONLY | O_CREAT | O_EXCL;

/// What lets the bytes go to the disk without a copy; nothing: the page cache takes them.
int direct_flag(ByteView bytes) {
    const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
    const bool fits = bytes.size() >= direct_from_bytes && address % direct_alignment_bytes == 0;
    return fits ? O_DIRECT : 0;
}

struct Created {
    UniqueFd fd;
    bool direct = false;
};

Result<Created> create(const Path& path, ByteView bytes, mode_t mode) {
    const int direct = direct_flag(bytes);
    UniqueFd fd{::open(path.c_str(), create_flags | direct | O_CLOEXEC, mode)};
    if (fd.valid()) return Created{std::move(fd), direct != 0};
    if (direct == 0 || errno != EINVAL) return fail(os_error("open " + path.string(), errno));
    // tmpfs and some network filesystems know no direct I/O, and some leave the new file behind.
    ::unlink(path.c_str());
    SP_ASSIGN(fd, open_file(path, create_flags, mode));
    return Created{std::move(fd), false};
}

Status write_steps(int fd, ByteView bytes, const Path& path) {
    for (std::size_t at = 0; at < bytes.size(); at += step_bytes) {
        const ByteView step = bytes.subspan(at, std::min(step_bytes, bytes.size() - at));
        SP_TRY(write_at(fd, ByteOffset{at}, step, path));
        // The disk starts while we still copy; only a hint, fdatasync is what counts.
        ::sync_file_range(fd, static_cast<off_t>(at), static_cast<off_t>(step.size()),
                          SYNC_FILE_RANGE_WRITE);
    }
    return {};
}

/// @return bytes written: whole blocks only; less than all when the disk wants larger blocks
Result<std::size_t> write_directly(int fd, ByteView bytes, const Path& path) {
    const std::size_t whole = bytes.size() / direct_alignment_bytes * direct_alignment_bytes;
    std::size_t done = 0;
    while (done < whole) {
        const std::size_t step = std::min(step_bytes, whole - done);
        const ssize_t n = ::pwrite(fd, bytes.data() + done, step, static_cast<off_t>(done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EINVAL) break;
        if (n < 0) return fail(os_error("write " + path.string(), errno));
        done += static_cast<std::size_t>(n);
        if (n == 0 || done % direct_alignment_bytes != 0) break;  // the page cache takes the rest
    }
    return done;
}

Status write_temporary(const Path& path, ByteView bytes, mode_t mode) {
    SP_ASSIGN(const Created file, create(path, bytes, mode));
    const int fd = file.fd.get();
    std::size_t done = 0;
    if (file.direct) {
        SP_ASSIGN(done, write_directly(fd, bytes, path));
        const int flags = ::fcntl(fd, F_GETFL);
        if (flags < 0 || ::fcntl(fd, F_SETFL, flags & ~O_DIRECT) != 0) {
            return fail(os_error("write " + path.string(), errno));
        }
        SP_TRY(write_at(fd, ByteOffset{done}, bytes.subspan(done), path));
    } else {
        SP_TRY(write_steps(fd, bytes, path));
    }
    if (::fdatasync(fd) != 0) return fail(os_error("sync " + path.string(), errno));
    return {};
}

bool same_file(const Path& one, const Path& other) {
    struct stat a {};
    struct stat b {};
    return ::stat(one.c_str(), &a) == 0 && ::stat(other.c_str(), &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

Status name_finally(const Path& temporary, const Path& final_path) {
    int error = 0;
    if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final_path.c_str(), RENAME_NOREPLACE) !=
        0) {
        error = errno;
    }
    // NFS and some others know no RENAME_NOREPLACE; a hard link refuses an existing name as well.
    if (error == EINVAL || error == ENOSYS) {
        error = ::link(temporary.c_str(), final_path.c_str()) == 0 ? 0 : errno;
        // A request whose answer got lost is made again, and hears that the name is taken: by us.
        if (error == EEXIST && same_file(temporary, final_path)) error = 0;
        if (error == 0) ::unlink(temporary.c_str());
    }
    if (error == EEXIST) {
        return fail(Errc::busy, "file.exists", final_path.string() + " exists");
    }
    if (error != 0) return fail(os_error("rename to " + final_path.string(), error));
    return {};
}

}  // namespace

Status write_durably(const Path& final_path, ByteView bytes, mode_t mode,
                     const Path& temporary_folder) {
    const Path temporary =
        temporary_folder / (final_path.filename().string() + "." + random_hex(8));
    Status status = write_temporary(temporary, bytes, mode);
    if (status) status = name_finally(temporary, final_path);
    if (!status) {
        // The first failure is what the caller must hear; a left-over temporary is harmless.
        ::unlink(temporary.c_str());
        return status;
    }
    return sync_folder(final_path.parent_path());
}

}  // namespace stillpoint::env
