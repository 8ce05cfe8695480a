#include "hypervisor/libvirt/guard.hpp"

#include "hypervisor/libvirt/backup_xml.hpp"
#include "hypervisor/libvirt/job.hpp"

namespace stillpoint::hypervisor::libvirt {

Status Guard::arm() {
    const Text xml{virDomainBackupGetXMLDesc(domain_.get(), 0)};
    if (!xml) return fail(last_error("read the running backup"));
    SP_ASSIGN(RunningBackup backup, parse_backup(xml.get()));
    scratch_indexes_ = std::move(backup.scratch_indexes);
    return set_thresholds();
}

Status Guard::set_thresholds() {
    const ByteCount used = total(measure(paths_));
    SP_ASSIGN(const ByteCount free, env::free_space(paths_.folder));
    for (const auto& [disk, index] : scratch_indexes_) {
        const auto file = paths_.files.find(disk);
        if (file == paths_.files.end()) continue;
        SP_ASSIGN(const ByteCount size, env::file_size(file->second));
        const std::string layer = disk + "[" + std::to_string(index) + "]";
        const auto threshold = budget_.next_threshold(used, free, size).raw();
        if (virDomainSetBlockThreshold(domain_.get(), layer.c_str(), threshold, 0) < 0) {
            return fail(last_error("watch the scratch of disk " + disk));
        }
    }
    return {};
}

void Guard::abort_job(const std::string& why) {
    state_->broke(why);
    const auto job = running_job(domain_.get());
    // A failure is not the end: prove_alive() refuses from now on, and end() aborts again.
    if (job && *job && (*job)->backup_socket == paths_.socket) virDomainAbortJob(domain_.get());
}

std::optional<std::string> Guard::exceeded() const {
    const ByteCount used = total(measure(paths_));
    const auto free = env::free_space(paths_.folder);
    if (!free) return free.error().text;
    if (!budget_.exceeded(used, *free)) return std::nullopt;
    return budget_.complaint(paths_.folder, used, *free);
}

void Guard::resume_guest() {
    const auto resumed = resume_after_io_error(domain_.get());
    if (resumed && *resumed) state_->runs_again();
    // A failure is not the end: end() and the keeper try again.
}

void Guard::look() {
    if (state_->had_io_error()) {
        // Also while the snapshot is being ended: a write may have failed just before that.
        if (!state_->ending()) abort_job("the VM was stopped by an I/O error");
        if (resumes_++ < resumes_max) resume_guest();
        return;
    }
    if (state_->ending()) return;
    const Status armed = set_thresholds();
    // Measured last: a burst may have passed the new threshold before QEMU knew of it.
    if (const auto why = exceeded()) {
        abort_job(*why);
    } else if (!armed && !state_->broken()) {
        abort_job(armed.error().text);
    }
}

}  // namespace stillpoint::hypervisor::libvirt
