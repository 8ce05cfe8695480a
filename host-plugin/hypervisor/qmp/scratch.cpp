#include "hypervisor/qmp/scratch.hpp"

#include <fcntl.h>

#include "env/process.hpp"

namespace stillpoint::hypervisor::qmp {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t unix_path_bytes_max = 107;  // sockaddr_un's 108 with its NUL

Error denied(const env::Path& path, const env::Path& closed, const env::Peer& qemu,
             const std::string& why) {
    const std::string uid = std::to_string(qemu.uid);
    std::string remedy = "check security profiles (AppArmor, SELinux) and mount namespaces of QEMU";
    if (!closed.empty()) {
        remedy = "let user " + qemu.user + " enter " + closed.string() +
                 " (chmod o+x, or setfacl -m u:" + uid + ":x), or choose another scratch folder";
    }
    return {Errc::denied, "qmp.scratch_denied",
            "QEMU runs as user " + qemu.user + " (uid " + uid + ") and cannot use " +
                path.string() + ": " + why,
            remedy};
}

Status make_image(const SessionDisk& disk, const env::Deadline& deadline,
                  const env::CancelToken& cancel) {
    const auto made = env::run_process({"qemu-img", "create", "-q", "-f", "qcow2",
                                        disk.scratch_path, std::to_string(disk.size_bytes)},
                                       deadline, cancel);
    if (!made && made.error().code == Errc::not_found) {
        return fail(Errc::not_found, "qmp.no_qemu_img", made.error().text,
                    "install qemu-utils (qemu-img)");
    }
    if (!made) return fail(made.error());
    if (made->exit_code == 0) return {};
    const bool full = made->errors.find("No space left") != std::string::npos;
    return fail(full ? Errc::no_space : Errc::io, "qmp.scratch_create",
                "create scratch " + disk.scratch_path + ": " + made->errors);
}

// Only the job folder is ours to open, and only for passing through: what lies in it stays closed.
Status open_way(const Session& session, const env::Peer& qemu) {
    const env::Path job_folder = env::Path{session.folder}.parent_path();
    if (env::first_closed_folder(job_folder, qemu) == job_folder) {
        std::error_code ignored;  // the check below names what is still closed
        fs::permissions(job_folder, fs::perms::others_exec, fs::perm_options::add, ignored);
    }
    const env::Path closed = env::first_closed_folder(session.folder, qemu);
    if (closed.empty()) return {};
    return fail(denied(session.folder, closed, qemu, "it may not enter " + closed.string()));
}

Status give_scratch(const Session& session, const env::Peer& qemu) {
    for (const SessionDisk& disk : session.disks) {
        if (const Status s = env::give_to(disk.scratch_path, qemu); !s) {
            return fail(denied(disk.scratch_path, {}, qemu, s.error().text));
        }
    }
    // The folder last: while it is ours nobody can put a link in the way of what we make inside.
    if (const Status s = env::give_to(session.folder, qemu); !s) {
        return fail(denied(session.folder, {}, qemu, s.error().text));
    }
    return {};
}

}  // namespace

Result<PhaseFile> PhaseFile::create(const env::Path& path) {
    SP_ASSIGN(auto fd, env::open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    PhaseFile file{std::move(fd), path};
    SP_TRY(file.resumed());
    return file;
}

Status PhaseFile::put(char phase) {
    return env::write_at(fd_.get(), ByteOffset{0}, as_bytes({&phase, 1}), path_);
}

bool PhaseFile::says_stopping(const env::Path& path) {
    constexpr std::size_t phase_bytes_max = 16;
    const auto bytes = env::read_file(path, phase_bytes_max);
    return bytes && as_text(*bytes) == "s";
}

Result<PhaseFile> make_scratch(const Session& session, const env::Peer& qemu,
                               const env::Deadline& deadline, const env::CancelToken& cancel) {
    if (session.nbd_socket.size() > unix_path_bytes_max) {
        return fail(Errc::invalid, "socket.path_too_long",
                    "the socket path " + session.nbd_socket + " is longer than 107 bytes",
                    "choose a scratch folder with a shorter name");
    }
    SP_TRY(env::make_folders(session.folder, 0700));
    SP_ASSIGN(PhaseFile phase, PhaseFile::create(session.phase_file));
    for (const SessionDisk& disk : session.disks) SP_TRY(make_image(disk, deadline, cancel));
    SP_TRY(give_scratch(session, qemu));
    SP_TRY(open_way(session, qemu));
    return phase;
}

Error explain_denied(Error error, const env::Path& path, const env::Peer& qemu) {
    if (error.text.find("Permission denied") == std::string::npos) return error;
    return denied(path, env::first_closed_folder(path.parent_path(), qemu), qemu, error.text);
}

ByteCount scratch_occupied(const Session& session) {
    ByteCount sum;
    for (const SessionDisk& disk : session.disks) sum += env::occupied(disk.scratch_path);
    return sum;
}

Status remove_scratch(const Session& session) {
    Status first;
    const auto note = [&](Status s) {
        if (first && !s) first = std::move(s);
    };
    for (const SessionDisk& disk : session.disks) note(env::remove_file(disk.scratch_path));
    note(env::remove_file(session.nbd_socket));
    note(env::remove_file(session.phase_file));
    std::error_code ignored;  // the folder's owner of old is the job folder's remover
    fs::remove(session.folder, ignored);
    return first;
}

}  // namespace stillpoint::hypervisor::qmp
