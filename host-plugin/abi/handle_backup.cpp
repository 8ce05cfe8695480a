#include "abi/backup_services.hpp"
#include "abi/vault_access.hpp"
#include "abi/vm_access.hpp"
#include "capture/throttle.hpp"
#include "serialization/requests.hpp"

namespace stillpoint::abi {
namespace {

using serialization::from_value;
using serialization::to_value;
using serialization::Value;

constexpr std::chrono::seconds inspect_budget{30};

/// The limits of this VM's readers together. @param asked bytes per second for this backup; 0: as
/// configured
std::shared_ptr<capture::Throttle> throttle_for(const JobContext& context,
                                                const serialization::BackupRequest& request,
                                                const std::string& uuid) {
    const ReadLimits found = context.config.limits_of(request.vm.vm, uuid);
    capture::Throttle::Limits limits;
    limits.bytes_per_second_max = found.bytes_per_second_max.value_or(0);
    if (request.bandwidth > 0) limits.bytes_per_second_max = request.bandwidth;
    if (found.read_ahead) limits.read_ahead = *found.read_ahead;
    return std::make_shared<capture::Throttle>(context.clock, limits);
}

/// What the readers of one disk may take: the throttle bounds them all together.
capture::ReadOptions read_options(std::shared_ptr<capture::Throttle> throttle) {
    capture::ReadOptions options;
    options.in_flight_max = throttle->share(options.request_bytes);
    options.throttle = std::move(throttle);
    return options;
}

/// The name that was typed may be the VM's uuid, or its name where host.xml has the uuid.
Result<std::string> uuid_for_limits(const JobContext& context, hypervisor::Vm& vm) {
    if (context.config.vms.empty()) return std::string{};
    SP_ASSIGN(const hypervisor::VmInfo info, vm.inspect({context.clock, inspect_budget}));
    return context.config.vms.contains(info.name) ? info.name : info.uuid;
}

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

}  // namespace

Result<JobResult> handle_backup(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request, from_value<serialization::BackupRequest>(document, "backup"));
    // The store first: its threads must not see the hypervisor's sockets (BlockingCalls).
    const vault::StoreWatch watch{context.config.store_stall, context.cancel};
    SP_ASSIGN(const OpenVault open,
              open_vault_for(request.vault, context.secret, context.clock, watch));
    SP_ASSIGN(const OpenVm machine, open_vm(request.vm, context.clock, context.libvirt_loop));
    SP_ASSIGN(const std::string uuid, uuid_for_limits(context, *machine.vm));
    const auto services = services_for(context, *open.vault, *machine.vm,
                                       read_options(throttle_for(context, request, uuid)));
    SP_ASSIGN(const auto report,
              route::run_backup(services, options_of(request, context.config, machine.driver),
                                context.cancel));
    return JobResult{exit_code_for(report), to_value(report)};
}

}  // namespace stillpoint::abi
