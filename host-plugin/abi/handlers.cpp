#include "abi/handlers.hpp"

#include <array>
#include <exception>

#include "serialization/requests.hpp"
#include "serialization/retention.hpp"

namespace stillpoint::abi {
namespace {

using Handler = Result<JobResult> (*)(const serialization::Value&, const JobContext&);

struct Route {
    std::string_view kind;
    Handler handler;
};

constexpr std::array<Route, 17> routes{{
    {serialization::VaultInitRequest::kind, handle_vault_init},
    {serialization::VaultCheckRequest::kind, handle_vault_check},
    {serialization::VaultStatsRequest::kind, handle_vault_stats},
    {serialization::VaultGcRequest::kind, handle_vault_gc},
    {serialization::VaultRepairRequest::kind, handle_vault_repair},
    {serialization::PointsConfirmRequest::kind, handle_points_confirm},
    {serialization::VaultKeyRequest::kind, handle_vault_key},
    {serialization::BackupRequest::kind, handle_backup},
    {serialization::PointsRequest::kind, handle_points},
    {serialization::PointsDiffRequest::kind, handle_points_diff},
    {serialization::ShowRequest::kind, handle_show},
    {serialization::VerifyRequest::kind, handle_verify},
    {serialization::RestoreRequest::kind, handle_restore},
    {serialization::ForgetRequest::kind, handle_forget},
    {serialization::PruneRequest::kind, handle_prune},
    {serialization::GuestStatusRequest::kind, handle_guest_status},
    {serialization::GuestDoctorRequest::kind, handle_guest_doctor},
}};

Result<JobResult> dispatch(const serialization::Value& request, const JobContext& context) {
    const std::string kind = request.text_or("kind");
    for (const Route& route : routes) {
        if (route.kind == kind) return route.handler(request, context);
    }
    return fail(Errc::invalid, "request.unknown", "no request is called `" + kind + "`",
                "use a plugin of the manager's own version");
}

}  // namespace

JobResult handle_request(const serialization::Value& request, const JobContext& context) {
    try {
        auto result = dispatch(request, context);
        if (result) return std::move(*result);
        return {exit_code_of(result.error().code), error_document(result.error())};
    } catch (const std::exception& problem) {
        // Expected failures are values; what gets here is out of memory or a library's surprise.
        const Error error{Errc::io, "internal.exception", problem.what(), "report this"};
        return {exit_failed, error_document(error)};
    }
}

}  // namespace stillpoint::abi
