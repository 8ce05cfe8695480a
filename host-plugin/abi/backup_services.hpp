#pragma once
#include "abi/handlers.hpp"
#include "route/backup_route.hpp"

/// What the routes that take a snapshot need, built from a job's context.
namespace stillpoint::abi {

/// What host.xml says for the VM, by name or uuid, else for all.
/// @param typed the name or uuid that the user gave
/// @errors those of Vm::inspect, and only where host.xml has limits of single VMs
[[nodiscard]] Result<ReadLimits> limits_for(const JobContext& context, hypervisor::Vm& vm,
                                            const std::string& typed);

/// What the readers of one disk may take; those of all disks of the VM share its limits.
/// @param bytes_per_second_max asked for this job alone; 0: as configured
[[nodiscard]] capture::ReadOptions read_options_for(const JobContext& context,
                                                    const ReadLimits& configured,
                                                    std::uint64_t bytes_per_second_max);

/// What the guest's writes may take for long; nullopt: no limit.
[[nodiscard]] std::optional<env::Nanoseconds> write_latency_for(const ReadLimits& configured);

/// @param context, vault, vm outlive the services
/// @param options what readers may take, and the throttle that they share
[[nodiscard]] route::BackupServices services_for(const JobContext& context, vault::Vault& vault,
                                                 hypervisor::Vm& vm,
                                                 const capture::ReadOptions& options);

/// Folders, budgets and what host.xml says; the request's own wishes are the caller's to add.
/// @param scratch_folder of the request; empty: the configured one
[[nodiscard]] route::BackupOptions options_for(const HostConfig& config,
                                               const std::string& scratch_folder);

}  // namespace stillpoint::abi
