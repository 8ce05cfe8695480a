#include "abi/backup_services.hpp"
#include "abi/vault_access.hpp"
#include "abi/vm_access.hpp"
#include "env/poll.hpp"
#include "serialization/requests.hpp"

namespace stillpoint::abi {
namespace {

using serialization::from_value;
using serialization::to_value;
using serialization::Value;

route::BackupOptions options_of(const serialization::BackupRequest& request,
                                const HostConfig& config, const std::string& driver) {
    route::BackupOptions options = options_for(config, request.scratch_folder);
    options.driver = driver;
    options.disks = request.disks;
    options.full = request.full;
    options.require = request.require;
    options.still_point.type = request.type;
    return options;
}

/// Below what was asked, or anything worth a warning: done, but not silently.
int exit_code_for(const serialization::PointReport& report) {
    const bool clean = report.level >= report.asked && report.warnings.empty();
    return clean ? exit_done : exit_warnings;
}

/// One whole backup, with connections of its own.
Result<serialization::PointReport> back_up(const serialization::BackupRequest& request,
                                           const JobContext& context) {
    // The store first: its threads must not see the hypervisor's sockets (BlockingCalls).
    SP_ASSIGN(const OpenVault open,
              open_vault_for(request.vault, context, vault::HangingFiles::give_up,
                             Metadata::may_be_cached));
    SP_ASSIGN(const OpenVm machine, open_vm(request.vm, context.clock, context.libvirt_loop));
    SP_ASSIGN(const auto limits, limits_for(context, *machine.vm, request.vm.vm));
    const auto readers = read_options_for(context, limits, request.bandwidth);
    const auto services = services_for(context, *open.vault, *machine.vm, readers);
    auto options = options_of(request, context.config, machine.driver);
    options.write_latency_max = write_latency_for(limits);
    return route::run_backup(services, options, context.cancel);
}

}  // namespace

/// Below what is required nothing was kept. Where the guest says that it may do better soon, the
/// backup is taken anew, a few times.
Result<JobResult> handle_backup(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request, from_value<serialization::BackupRequest>(document, "backup"));
    auto report = back_up(request, context);
    for (std::uint64_t again = 1; again <= context.config.guest_retries; ++again) {
        const bool may_do_better =
            !report && report.error().id == "backup.level" && report.error().code == Errc::busy;
        if (!may_do_better) break;
        context.reporter.log(route::Severity::warning,
                             report.error().text + "; the whole backup is tried again (" +
                                 std::to_string(again) + " of " +
                                 std::to_string(context.config.guest_retries) + ")");
        SP_TRY(env::pause(context.config.guest_retry_pause, context.cancel));
        report = back_up(request, context);
    }
    if (!report) return fail(std::move(report).error());
    return JobResult{exit_code_for(*report), to_value(*report)};
}

}  // namespace stillpoint::abi
