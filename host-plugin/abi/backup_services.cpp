#include "abi/backup_services.hpp"

#include <dlfcn.h>

#include "capture/throttle.hpp"
#include "stillpoint/host_plugin.h"

namespace stillpoint::abi {
namespace {

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

constexpr std::chrono::seconds inspect_budget{30};
// Nobody calls a disk healthy whose writes take half a second, one with the other, for seconds.
constexpr std::chrono::milliseconds write_latency_default{500};

}  // namespace

// host.xml may know the VM by its name or uuid, whichever of the two was typed.
Result<ReadLimits> limits_for(const JobContext& context, hypervisor::Vm& vm,
                              const std::string& typed) {
    const HostConfig& config = context.config;
    if (config.vms.empty() || config.vms.contains(typed)) return config.limits_of(typed, {});
    SP_ASSIGN(const hypervisor::VmInfo info, vm.inspect({context.clock, inspect_budget}));
    return config.limits_of(info.name, info.uuid);
}

std::optional<env::Nanoseconds> write_latency_for(const ReadLimits& configured) {
    const auto limit = configured.write_latency_max.value_or(write_latency_default);
    return limit == env::Nanoseconds{} ? std::nullopt : std::optional{limit};
}

capture::ReadOptions read_options_for(const JobContext& context, const ReadLimits& configured,
                                      std::uint64_t bytes_per_second_max) {
    capture::Throttle::Limits limits;
    limits.bytes_per_second_max = configured.bytes_per_second_max.value_or(0);
    if (bytes_per_second_max > 0) limits.bytes_per_second_max = bytes_per_second_max;
    if (configured.read_ahead) limits.read_ahead = *configured.read_ahead;
    capture::ReadOptions options;
    options.throttle = std::make_shared<capture::Throttle>(context.clock, limits);
    options.in_flight_max = options.throttle->share(options.request_bytes);
    return options;
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

route::BackupOptions options_for(const HostConfig& config, const std::string& scratch_folder) {
    route::BackupOptions options;
    options.jobs_folder = scratch_folder.empty() ? config.jobs_folder() : env::Path{scratch_folder};
    options.scratch_budget = config.scratch_budget;
    options.run_folder = config.run_folder;
    options.still_point = {.greet_budget = config.greet_budget,
                           .hooks_budget = config.hooks_budget,
                           .freeze_budget = config.freeze_budget};
    options.audit = config.audit;
    options.compare = config.compare;
    return options;
}

}  // namespace stillpoint::abi
