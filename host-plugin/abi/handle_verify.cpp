#include "abi/backup_services.hpp"
#include "abi/vault_access.hpp"
#include "abi/vm_access.hpp"
#include "route/point_lookup.hpp"
#include "route/restore_route.hpp"
#include "route/verify_live.hpp"

namespace stillpoint::abi {
namespace {

using serialization::CheckReport;
using serialization::VerifyRequest;

constexpr const char* live = "live";

/// The VM is the point's own, whatever it is called today.
Result<serialization::VmAccess> access_to_vm(const VerifyRequest& request, vault::Vault& vault) {
    SP_ASSIGN(const vault::Point point, route::find_point(vault, request.point));
    serialization::VmAccess access = request.vm;
    const bool by_uuid = access.qmp_socket.empty() && !point.vm_uuid.empty();
    if (access.vm.empty()) access.vm = by_uuid ? point.vm_uuid : point.vm_name;
    return access;
}

Result<CheckReport> verify_live(const VerifyRequest& request, vault::Vault& vault,
                                const JobContext& context) {
    SP_ASSIGN(const auto access, access_to_vm(request, vault));
    SP_ASSIGN(const OpenVm machine, open_vm(access, context.clock, context.libvirt_loop));
    SP_ASSIGN(const auto limits, limits_for(context, *machine.vm, access.vm));
    const auto readers = read_options_for(context, limits, 0);
    const auto services = services_for(context, vault, *machine.vm, readers);
    auto options = options_for(context.config, request.scratch_folder);
    options.write_latency_max = write_latency_for(limits);
    return route::run_verify_live(services, {.point = request.point, .disk = request.disk}, options,
                                  context.cancel);
}

}  // namespace

Result<JobResult> handle_verify(const serialization::Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request, serialization::from_value<VerifyRequest>(document, "verify"));
    SP_ASSIGN(const OpenVault open,
              open_vault_for(request.vault, context, vault::HangingFiles::give_up));
    const route::VerifyPlan plan{
        .point = request.point, .disk = request.disk, .against = request.against};
    SP_ASSIGN(const CheckReport report, request.against == live
                                            ? verify_live(request, *open.vault, context)
                                            : route::run_verify(*open.vault, plan, context.clock,
                                                                context.reporter, context.cancel));
    return JobResult{report.ok ? exit_done : exit_damage, serialization::to_value(report)};
}

}  // namespace stillpoint::abi
