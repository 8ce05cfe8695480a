#pragma once
#include "env/cancel.hpp"
#include "env/fd.hpp"
#include "env/peer.hpp"
#include "hypervisor/qmp/session.hpp"

/// The session's own folder: scratch images, the NBD socket and the phase file.
namespace stillpoint::hypervisor::qmp {

/// One byte in a file tells the keeper whether *we* stopped the VM. A file, because it outlives a
/// killed owner; one byte in the page cache, because it is written while the guest is frozen.
class PhaseFile {
public:
    /// @errors os.*
    static Result<PhaseFile> create(const env::Path& path);
    /// The VM is about to be stopped by us.
    Status stopping() { return put('s'); }
    /// The VM runs again, or was not running before.
    Status resumed() { return put('r'); }
    /// @return whether the file says `stopping`; a missing file says no
    static bool says_stopping(const env::Path& path);

private:
    explicit PhaseFile(env::UniqueFd fd, env::Path path)
        : fd_(std::move(fd)), path_(std::move(path)) {}
    Status put(char phase);
    env::UniqueFd fd_;
    env::Path path_;
};

/// Makes the folder, the phase file and one empty qcow2 scratch per disk, and gives all of it to
/// QEMU's user.
/// @errors denied, id "qmp.scratch_denied": QEMU's user cannot reach the folder · not_found: no
///         qemu-img · no_space · timeout · cancelled
[[nodiscard]] Result<PhaseFile> make_scratch(const Session& session, const env::Peer& qemu,
                                             const env::Deadline& deadline,
                                             const env::CancelToken& cancel);

/// Explains QEMU's "Permission denied" on a path of ours; other errors pass unchanged.
[[nodiscard]] Error explain_denied(Error error, const env::Path& path, const env::Peer& qemu);

/// Bytes that the scratch files occupy by now.
[[nodiscard]] ByteCount scratch_occupied(const Session& session);

/// Removes scratch, socket, phase file and folder; what is gone already is fine.
[[nodiscard]] Status remove_scratch(const Session& session);

}  // namespace stillpoint::hypervisor::qmp
