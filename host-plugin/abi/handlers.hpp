#pragma once
#include "abi/config.hpp"
#include "abi/exit_code.hpp"
#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "route/services.hpp"

/// One handler per request kind: reads the typed request, builds the objects, runs the route.
namespace stillpoint::abi {

struct JobContext {
    const HostConfig& config;
    const env::Clock& clock;
    route::Reporter& reporter;
    const std::string& secret;  // a passphrase; never logged
    env::CancelToken cancel;
    hypervisor::LibvirtLoop libvirt_loop = hypervisor::LibvirtLoop::ours;
};

/// Runs the request document to its end. Never throws; failures are error documents with their exit
/// code. @threads any
[[nodiscard]] JobResult handle_request(const serialization::Value& request,
                                       const JobContext& context);

[[nodiscard]] Result<JobResult> handle_vault_init(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_vault_check(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_vault_gc(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_vault_repair(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_points_confirm(const serialization::Value&,
                                                      const JobContext&);
[[nodiscard]] Result<JobResult> handle_vault_stats(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_vault_key(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_backup(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_points(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_points_diff(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_show(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_verify(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_restore(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_forget(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_prune(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_guest_status(const serialization::Value&, const JobContext&);
[[nodiscard]] Result<JobResult> handle_guest_doctor(const serialization::Value&, const JobContext&);

}  // namespace stillpoint::abi
