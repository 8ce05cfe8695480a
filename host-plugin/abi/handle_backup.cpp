#include <dlfcn.h>

#include "abi/handlers.hpp"
#include "abi/vault_access.hpp"
#include "abi/vm_access.hpp"
#include "route/backup_route.hpp"
#include "serialization/requests.hpp"
#include "stillpoint/host_plugin.h"

namespace stillpoint::abi {
namespace {

using serialization::from_value;
using serialization::Map;
using serialization::to_value;
using serialization::Value;

constexpr env::Nanoseconds inspect_budget = std::chrono::seconds{15};

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

route::BackupServices services_for(const JobContext& context, vault::Vault& vault,
                                   hypervisor::Vm& vm) {
    return {.clock = context.clock,
            .vault = vault,
            .vm = vm,
            .reporter = context.reporter,
            .connect_guest =
                [&context](const env::Path& socket, const std::string& uuid,
                           const env::Deadline& deadline, const env::CancelToken& cancel) {
                    return guest::connect_guest(socket, uuid, deadline, cancel, context.clock);
                },
            .connect_nbd =
                [&context](const capture::NbdAddress& address, const env::CancelToken& cancel) {
                    return capture::connect_nbd(address, {}, context.clock, cancel);
                },
            .spawn_keeper =
                [&context] {
                    return keeper::spawn_keeper(keeper_path(context.config), context.clock);
                }};
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

Value describe_guest(const hypervisor::VmInfo& vm, const guest::GuestClient& client,
                     env::Nanoseconds round_trip) {
    const serialization::Welcome& welcome = client.welcome();
    return Map{{"vm", vm.name},
               {"uuid", vm.uuid},
               {"extension", true},
               {"agent_version", welcome.agent_version},
               {"protocol_version", std::int64_t{welcome.version}},
               {"os", welcome.os},
               {"os_release", welcome.os_release},
               {"hooks_configured", welcome.hooks_configured},
               {"journal", welcome.journal},
               {"volumes", to_value(welcome.volumes)},
               {"round_trip_ms", env::to_ms(round_trip)}};
}

}  // namespace

Result<JobResult> handle_backup(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request, from_value<serialization::BackupRequest>(document, "backup"));
    SP_ASSIGN(const OpenVault open, open_vault_for(request.vault, context.secret, context.clock));
    SP_ASSIGN(const OpenVm machine, open_vm(request.vm, context.clock, context.libvirt_loop));
    const auto services = services_for(context, *open.vault, *machine.vm);
    SP_ASSIGN(const auto report,
              route::run_backup(services, options_for(request, context.config, machine.driver),
                                context.cancel));
    return JobResult{exit_code_for(report), to_value(report)};
}

Result<JobResult> handle_guest_status(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request,
              from_value<serialization::GuestStatusRequest>(document, "guest.status"));
    SP_ASSIGN(const OpenVm machine, open_vm(request.vm, context.clock, context.libvirt_loop));
    SP_ASSIGN(const auto vm, machine.vm->inspect({context.clock, inspect_budget}));
    if (vm.guest_channel.empty()) {
        return fail(Errc::not_found, "guest.no_channel",
                    "VM " + vm.name + " has no port org.stillpoint.guest.0",
                    "add a virtio-serial channel of that name to the VM; on plain QEMU name its "
                    "socket with --guest-channel");
    }
    SP_ASSIGN(const auto client, guest::connect_guest(vm.guest_channel, vm.uuid,
                                                      {context.clock, context.config.greet_budget},
                                                      context.cancel, context.clock));
    SP_ASSIGN(const auto round_trip, client->ping({context.clock, context.config.greet_budget}));
    return JobResult{exit_done, describe_guest(vm, *client, round_trip)};
}

}  // namespace stillpoint::abi
