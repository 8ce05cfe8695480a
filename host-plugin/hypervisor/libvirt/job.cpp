#include "hypervisor/libvirt/job.hpp"

#include <libvirt/virterror.h>

#include <algorithm>
#include <array>

#include "env/poll.hpp"
#include "hypervisor/libvirt/backup_xml.hpp"
#include "hypervisor/libvirt/facts.hpp"
#include "hypervisor/libvirt/scratch.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

constexpr std::chrono::milliseconds look_again{20};
constexpr int quiet_looks = 3;  // a dead owner's call may reach the daemon after our first look

class JobParameters {
public:
    JobParameters() = default;
    JobParameters(const JobParameters&) = delete;
    JobParameters& operator=(const JobParameters&) = delete;
    ~JobParameters() { virTypedParamsFree(items_, count_); }
    /// @return -1 as libvirt does, the job's type otherwise
    int read(virDomainPtr domain) {
        int type = VIR_DOMAIN_JOB_NONE;
        return virDomainGetJobStats(domain, &type, &items_, &count_, 0) < 0 ? -1 : type;
    }
    void fill(RunningJob& job) const {
        unsigned long long elapsed = 0;
        virTypedParamsGetInt(items_, count_, VIR_DOMAIN_JOB_OPERATION, &job.operation);
        virTypedParamsGetULLong(items_, count_, VIR_DOMAIN_JOB_TIME_ELAPSED, &elapsed);
        job.elapsed = std::chrono::milliseconds{elapsed};
    }

private:
    virTypedParameterPtr items_ = nullptr;
    int count_ = 0;
};

// A backup that is only beginning has no document yet: the job is then known by its operation
// alone.
void read_backup(virDomainPtr domain, RunningJob& job) {
    const Text xml{virDomainBackupGetXMLDesc(domain, 0)};
    if (!xml) return;
    const auto backup = parse_backup(xml.get());
    if (!backup) return;
    job.backup_socket = backup->socket;
    job.scratch = backup->scratch;
}

constexpr std::array operation_names{
    std::pair{VIR_DOMAIN_JOB_OPERATION_START, "start"},
    std::pair{VIR_DOMAIN_JOB_OPERATION_SAVE, "save"},
    std::pair{VIR_DOMAIN_JOB_OPERATION_RESTORE, "restore"},
    std::pair{VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN, "incoming migration"},
    std::pair{VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT, "migration"},
    std::pair{VIR_DOMAIN_JOB_OPERATION_SNAPSHOT, "snapshot"},
    std::pair{VIR_DOMAIN_JOB_OPERATION_SNAPSHOT_REVERT, "return to a snapshot"},
    std::pair{VIR_DOMAIN_JOB_OPERATION_DUMP, "dump"},
    std::pair{VIR_DOMAIN_JOB_OPERATION_BACKUP, "backup"},
};

}  // namespace

bool RunningJob::is_ours() const {
    return is_backup() && env::Path{backup_socket}.filename() == socket_name;
}

std::string RunningJob::describe() const {
    const auto name = std::find_if(operation_names.begin(), operation_names.end(),
                                   [this](const auto& entry) { return entry.first == operation; });
    std::string text = name == operation_names.end() ? "job of kind " + std::to_string(operation)
                                                     : std::string{name->second};
    if (!backup_socket.empty()) text += " at " + backup_socket;
    return text;
}

Result<std::optional<RunningJob>> running_job(virDomainPtr domain) {
    JobParameters parameters;
    const int type = parameters.read(domain);
    if (type < 0 && last_code() == VIR_ERR_OPERATION_INVALID) return std::nullopt;  // not running
    if (type < 0) return fail(last_error("ask for the VM's job"));
    if (type == VIR_DOMAIN_JOB_NONE) return std::nullopt;
    RunningJob job;
    parameters.fill(job);
    if (job.is_backup()) read_backup(domain, job);
    return job;
}

Status end_backup(virDomainPtr domain, const std::string& socket, const env::Deadline& deadline) {
    Status aborted;
    for (int quiet = 0; quiet < quiet_looks;) {
        SP_ASSIGN(const auto job, running_job(domain));
        const bool beginning = job && job->is_backup() && job->backup_socket.empty();
        if (job && job->backup_socket == socket) {
            aborted =
                virDomainAbortJob(domain) < 0 ? fail(last_error("abort the backup job")) : Status{};
        }
        const bool done = !beginning && (!job || job->backup_socket != socket);
        quiet = done ? quiet + 1 : 0;
        if (deadline.passed()) {
            SP_TRY(aborted);
            return fail(Errc::timeout, "libvirt.job", "libvirt did not end our backup job in time",
                        "end it with `virsh domjobabort`");
        }
        // Never cancelled: ending a job is what a cancelled backup waits for.
        SP_TRY(env::pause(look_again, env::CancelToken{}));
    }
    return {};
}

Result<bool> resume_after_io_error(virDomainPtr domain) {
    SP_ASSIGN(const bool stopped, paused_by_io_error(domain));
    if (!stopped) return false;
    if (virDomainResume(domain) < 0) return fail(last_error("resume the VM"));
    return true;
}

}  // namespace stillpoint::hypervisor::libvirt
