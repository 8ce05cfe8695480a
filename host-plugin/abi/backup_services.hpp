#pragma once
#include "abi/handlers.hpp"
#include "route/backup_route.hpp"

/// What the routes that take a snapshot need, built from a job's context.
namespace stillpoint::abi {

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
