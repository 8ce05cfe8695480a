#include <dlfcn.h>

#include "abi/handlers.hpp"
#include "abi/vault_access.hpp"
#include "abi/vm_access.hpp"
#include "capture/throttle.hpp"
#include "route/backup_route.hpp"
#include "serialization/requests.hpp"
#include "stillpoint/host_plugin.h"

namespace stillpoint::abi {
namespace {

using serialization::from_value;
using serialization::Map;
using serialization::to_value;
using serialization::Value;

constexpr std::chrono::seconds inspect_budget{30};

/// The configured keeper, else in a build tree the one beside the plugin, else the installed one.
env::Path keeper_path(const HostConfig& config) {
    if (!config.keeper.empty()) return config.keeper;
    Dl_info self{};
    if (::dladdr(reinterpret_cast<void*>(&stillpoint_host_plugin), &self) != 0) {
        env::Path sibling = env::Path{self.dli_fname}.parent_path() / "stillpoint-keeper";
        std::error_code ignored;  // unreadable is as good as absent: the installed one is left
        if (std::filesystem::exists(sibling, ignored)) return sibling;
    }
    return STILLPOINT_KEEPER;
}

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

route::BackupServices services_for(const JobContext& context, vault::Vault& vault,
                                   hypervisor::Vm& vm, const capture::ReadOptions& options) {
    return {
        .clock = context.clock,
        .vault = vault,
        .vm = vm,
        .reporter = context.reporter,
        .connect_guest =
            [&context](const env::Path& socket, const std::string& uuid,
                       const env::Deadline& deadline, const env::CancelToken& cancel) {
                return guest::connect_guest(socket, uuid, deadline, cancel, context.clock);
            },
        .connect_nbd =
            [&context, options](const capture::NbdAddress& address,
                                const env::CancelToken& cancel) {
                return capture::connect_nbd(address, options, context.clock, cancel);
            },
        .spawn_keeper =
            [&context] { return keeper::spawn_keeper(keeper_path(context.config), context.clock); },
        .throttle = options.throttle};
}

route::BackupOptions options_for(const serialization::BackupRequest& request,
                                 const HostConfig& config, const std::string& driver) {
    route::BackupOptions options;
    options.driver = driver;
    options.disks = request.disks;
    options.full = request.full;
    options.require = request.require;
    options.jobs_folder =
        request.scratch_folder.empty() ? config.jobs_folder() : env::Path{request.scratch_folder};
    options.scratch_budget = config.scratch_budget;
    options.run_folder = config.run_folder;
    options.still_point = {.type = request.type,
                           .greet_budget = config.greet_budget,
                           .hooks_budget = config.hooks_budget,
                           .freeze_budget = config.freeze_budget};
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
              route::run_backup(services, options_for(request, context.config, machine.driver),
                                context.cancel));
    return JobResult{exit_code_for(report), to_value(report)};
}

}  // namespace stillpoint::abi
