#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "env/cancel.hpp"
#include "env/peer.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/scratch_budget.hpp"

namespace stillpoint::hypervisor::libvirt {

/// Where a snapshot keeps what QEMU needs while it lasts; every name is decided before anything is
/// done, so that a keeper can clean up from the names alone.
struct ScratchPaths {
    env::Path folder;                        // QEMU's user alone may enter it
    env::Path socket;                        // NBD
    std::map<std::string, env::Path> files;  // by disk
};

/// Every NBD socket of ours is called so, which tells our jobs from those of others.
inline constexpr const char* socket_name = "stillpoint-nbd.sock";

/// @errors invalid: a disk name that makes no file name, a socket path longer than the kernel takes
[[nodiscard]] Result<ScratchPaths> scratch_paths(const env::Path& job_folder,
                                                 const std::vector<std::string>& disks);

/// Creates the folder and an empty qcow2 of each disk's size. The guest's overwritten blocks go
/// there while the backup lasts; made before the freeze because libvirt's own way takes frozen
/// time.
/// @param qemu_user whom the folder and files go to; nullopt: QEMU runs as our own user
/// @errors denied, id "scratch.unreachable" · no_space, id "scratch.no_space"
[[nodiscard]] Status create_scratch(const ScratchPaths& paths,
                                    const std::map<std::string, ByteCount>& sizes,
                                    const std::optional<env::Peer>& qemu_user,
                                    const env::Deadline& deadline, const env::CancelToken& cancel);

/// Removes files, socket and folder; what does not exist is success. @return the first failure
[[nodiscard]] Status remove_scratch(const ScratchPaths& paths);

/// @return bytes that each scratch file occupies; a file that is gone occupies none
[[nodiscard]] std::map<std::string, ByteCount> measure(const ScratchPaths& paths);
[[nodiscard]] ByteCount total(const std::map<std::string, ByteCount>& used);

}  // namespace stillpoint::hypervisor::libvirt
