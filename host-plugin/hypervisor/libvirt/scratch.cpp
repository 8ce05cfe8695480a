#include "hypervisor/libvirt/scratch.hpp"

#include <sys/un.h>

#include <algorithm>

#include "env/process.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

constexpr std::size_t socket_path_bytes_max = sizeof(sockaddr_un::sun_path) - 1;

bool makes_a_file_name(const std::string& disk) {
    return !disk.empty() && disk.size() <= 64 && disk[0] != '.' &&
           disk.find_first_not_of(
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
               std::string::npos;
}

Status create_file(const env::Path& file, ByteCount size, const env::Deadline& deadline,
                   const env::CancelToken& cancel) {
    // Left over from a run that ended badly in this very folder; QEMU may hold none of them.
    SP_TRY(env::remove_file(file));
    SP_ASSIGN(const auto output, env::run_process({"qemu-img", "create", "-q", "-f", "qcow2",
                                                   file.string(), std::to_string(size.raw())},
                                                  deadline, cancel));
    if (output.exit_code == 0) return {};
    return fail(Errc::io, "scratch.create",
                "qemu-img could not create " + file.string() + ": " + output.errors,
                "see whether qemu-utils is installed and the folder is writable");
}

Status check_reachable(const env::Path& folder, const env::Peer& user) {
    const env::Path job_folder = folder.parent_path();
    if (env::first_closed_folder(folder, user) == job_folder) {
        // Ours to open: what is in there stays closed. If that fails the check below says it.
        std::error_code ignored;
        std::filesystem::permissions(job_folder, std::filesystem::perms::others_exec,
                                     std::filesystem::perm_options::add, ignored);
    }
    const env::Path closed = env::first_closed_folder(folder, user);
    if (closed.empty()) return {};
    return fail(Errc::denied, "scratch.unreachable",
                "QEMU runs as user " + user.user + " and may not enter " + closed.string(),
                "let it in (chmod o+x " + closed.string() + "), or choose another scratch folder");
}

Status check_space(const env::Path& folder, std::size_t disks) {
    SP_ASSIGN(const ByteCount free, env::free_space(folder));
    const std::uint64_t wanted = ScratchBudget::free_bytes_min * disks;
    if (free.raw() >= wanted) return {};
    return fail(Errc::no_space, "scratch.no_space",
                folder.string() + " has " + std::to_string(free.raw() >> 20) + " MiB free, " +
                    std::to_string(wanted >> 20) + " MiB is the least for this VM's scratch",
                "free space there, or choose another scratch folder");
}

}  // namespace

Result<ScratchPaths> scratch_paths(const env::Path& job_folder,
                                   const std::vector<std::string>& disks) {
    ScratchPaths paths;
    paths.folder = job_folder / "qemu";
    paths.socket = paths.folder / socket_name;
    if (paths.socket.string().size() > socket_path_bytes_max) {
        return fail(Errc::invalid, "scratch.path",
                    paths.socket.string() + " is too long for a socket's path",
                    "choose a scratch folder with a shorter path");
    }
    for (const std::string& disk : disks) {
        if (!makes_a_file_name(disk)) {
            return fail(Errc::invalid, "scratch.path",
                        "disk name \"" + disk + "\" cannot name a file");
        }
        paths.files[disk] = paths.folder / ("scratch-" + disk + ".qcow2");
    }
    return paths;
}

Status create_scratch(const ScratchPaths& paths, const std::map<std::string, ByteCount>& sizes,
                      const std::optional<env::Peer>& qemu_user, const env::Deadline& deadline,
                      const env::CancelToken& cancel) {
    SP_TRY(env::make_folders(paths.folder, 0700));
    SP_TRY(check_space(paths.folder, paths.files.size()));
    for (const auto& [disk, file] : paths.files) {
        const auto size = sizes.find(disk);
        if (size == sizes.end())
            return fail(Errc::invalid, "scratch.path", "no size of disk " + disk);
        SP_TRY(create_file(file, size->second, deadline, cancel));
        if (qemu_user) SP_TRY(env::give_to(file, *qemu_user));
    }
    if (!qemu_user) return {};
    SP_TRY(env::give_to(paths.folder, *qemu_user));
    return check_reachable(paths.folder, *qemu_user);
}

Status remove_scratch(const ScratchPaths& paths) {
    Status first;
    const auto note = [&first](Status status) {
        if (!status && first) first = std::move(status);
    };
    for (const auto& [disk, file] : paths.files) note(env::remove_file(file));
    note(env::remove_file(paths.socket));
    std::error_code error;
    std::filesystem::remove(paths.folder, error);  // only when empty: others' files stay
    if (error && error != std::errc::directory_not_empty) {
        note(fail(env::os_error("remove " + paths.folder.string(), error.value())));
    }
    return first;
}

std::map<std::string, ByteCount> measure(const ScratchPaths& paths) {
    std::map<std::string, ByteCount> used;
    for (const auto& [disk, file] : paths.files) {
        used[disk] = env::occupied(file);
    }
    return used;
}

ByteCount total(const std::map<std::string, ByteCount>& used) {
    ByteCount sum;
    for (const auto& [disk, bytes] : used) sum += bytes;
    return sum;
}

}  // namespace stillpoint::hypervisor::libvirt
