#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "env/clock.hpp"
#include "hypervisor/libvirt/api.hpp"

/// libvirt's job of a domain; a domain has one at most. Everything here blocks: call on a lane.
namespace stillpoint::hypervisor::libvirt {

struct RunningJob {
    int operation = 0;  // virDomainJobOperation
    std::chrono::milliseconds elapsed{};
    std::string backup_socket;         // of a pull backup that listens; else empty
    std::vector<std::string> scratch;  // of a backup
    [[nodiscard]] bool is_backup() const { return operation == VIR_DOMAIN_JOB_OPERATION_BACKUP; }
    /// A backup that some run of ours began, this one or a dead one.
    [[nodiscard]] bool is_ours() const;
    [[nodiscard]] std::string describe() const;
};

/// @return nullopt: none, or the VM is not running
[[nodiscard]] Result<std::optional<RunningJob>> running_job(virDomainPtr domain);

/// Aborts the backup that serves `socket` and waits until libvirt has let go of it. Another job or
/// none is success. A backup that is just beginning (its owner died during the call) is waited for.
/// @errors timeout, id "libvirt.job" · as libvirt's
[[nodiscard]] Status end_backup(virDomainPtr domain, const std::string& socket,
                                const env::Deadline& deadline);

/// Lets a VM run on that stopped because its disk could not be written: QEMU repeats the write, and
/// stops again if the cause was another one than our scratch.
/// @return true: it was stopped so and runs now
[[nodiscard]] Result<bool> resume_after_io_error(virDomainPtr domain);

}  // namespace stillpoint::hypervisor::libvirt
