#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "restore/target.hpp"
#include "restore/write_out.hpp"

namespace stillpoint::restore {
namespace {

struct Names {
    env::Path final_file;
    env::Path incomplete;
};

Result<Names> names_of(const vault::DiskRoot& disk, const env::Path& folder, Format format) {
    // The vault refuses such names, but the vault is not trusted (I7).
    if (disk.disk.empty() || disk.disk == "." || disk.disk == ".." ||
        disk.disk.find('/') != std::string::npos) {
        return fail(Errc::corrupt, "restore.disk_name",
                    "the recovery point names a disk that no file can be named after");
    }
    const std::string name = disk.disk + (format == Format::raw ? ".raw" : ".qcow2");
    return Names{folder / name, folder / (name + ".incomplete")};
}

tl::unexpected<Error> target_exists(const env::Path& file) {
    return fail(Errc::busy, "restore.exists", file.string() + " exists; nothing was written",
                "choose another folder with --to, or move the file away");
}

/// The unfinished file: locked against a second restore, removed unless it is kept.
class Unfinished {
public:
    static Result<Unfinished> create(const env::Path& file) {
        auto lock = env::FileLock::take(file);
        if (!lock && lock.error().id == "lock.held") {
            return fail(Errc::busy, "restore.running",
                        file.string() + " is being written by another restore");
        }
        if (!lock) return fail(lock.error());
        SP_ASSIGN(env::UniqueFd fd,
                  env::open_file(file, O_RDWR | O_TRUNC));  // what an earlier left
        return Unfinished{file, std::move(*lock), std::move(fd)};
    }
    Unfinished(Unfinished&& other) noexcept
        : file_(std::exchange(other.file_, {})),
          lock_(std::move(other.lock_)),
          fd_(std::move(other.fd_)) {}
    Unfinished& operator=(Unfinished&&) = delete;
    ~Unfinished() {
        // On the way out of a failure, which is what the caller must hear.
        if (!file_.empty()) (void)env::remove_file(file_);
    }
    void keep() { file_.clear(); }
    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] Status sync() const {
        if (::fsync(fd_.get()) != 0) return fail(env::os_error("sync " + file_.string(), errno));
        return {};
    }

private:
    Unfinished(env::Path file, env::FileLock lock, env::UniqueFd fd)
        : file_(std::move(file)), lock_(std::move(lock)), fd_(std::move(fd)) {}
    env::Path file_;
    env::FileLock lock_;
    env::UniqueFd fd_;
};

Status give_final_name(const Names& names) {
    // A hard link, unlike a rename, never replaces what has the name meanwhile.
    if (::link(names.incomplete.c_str(), names.final_file.c_str()) == 0) {
        SP_TRY(env::remove_file(names.incomplete));
    } else if (errno == EEXIST) {
        return target_exists(names.final_file);
    } else if (::renameat2(AT_FDCWD, names.incomplete.c_str(), AT_FDCWD, names.final_file.c_str(),
                           RENAME_NOREPLACE) != 0) {
        if (errno == EEXIST) return target_exists(names.final_file);
        return fail(env::os_error("rename to " + names.final_file.string(), errno));
    }
    return env::sync_folder(names.final_file.parent_path());
}

Result<std::unique_ptr<Target>> open_target(const Names& names, const vault::DiskRoot& disk,
                                            const RestoreOptions& options,
                                            const env::CancelToken& cancel) {
    const TargetOptions target{.size = disk.size, .connections = options.workers};
    if (options.format == Format::raw) return open_raw_target(names.incomplete, target);
    return open_qcow2_target(names.incomplete, target, cancel);
}

}  // namespace

Result<RestoreResult> restore_disk(vault::Vault& vault, const vault::DiskRoot& disk,
                                   const env::Path& folder, const RestoreOptions& options,
                                   const Progress& progress, const env::CancelToken& cancel) {
    SP_ASSIGN(const Names names, names_of(disk, folder, options.format));
    if (std::filesystem::exists(std::filesystem::symlink_status(names.final_file))) {
        return target_exists(names.final_file);
    }
    SP_ASSIGN(auto unfinished, Unfinished::create(names.incomplete));
    SP_ASSIGN(const auto target, open_target(names, disk, options, cancel));
    WriteOut sink{*target, unfinished.fd()};
    SP_ASSIGN(auto walked,
              walk_disk(vault, disk, {.workers = options.workers}, sink, progress, cancel));
    SP_TRY(target->close());
    SP_TRY(unfinished.sync());
    RestoreResult result{names.final_file, walked.data_bytes, std::move(walked.damage)};
    if (!result.damage.empty()) {
        unfinished.keep();
        result.file = names.incomplete;
        SP_TRY(env::sync_folder(folder));
        return result;
    }
    SP_TRY(give_final_name(names));
    unfinished.keep();
    return result;
}

}  // namespace stillpoint::restore
