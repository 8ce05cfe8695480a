#include "abi/handlers.hpp"
#include "abi/vault_access.hpp"
#include "route/point_document.hpp"
#include "route/point_lookup.hpp"
#include "route/points_diff.hpp"
#include "route/restore_route.hpp"
#include "serialization/requests.hpp"

namespace stillpoint::abi {
namespace {

using serialization::from_value;
using serialization::Map;
using serialization::to_value;
using serialization::Value;

Result<Value> describe(const vault::Point& point) {
    SP_ASSIGN(const auto document, route::decode_point_document(point.document));
    return to_value(route::report_of(point, document, 2 * point.object_bytes));  // and its copy
}

JobResult checked(const serialization::CheckReport& report) {
    return {report.ok ? exit_done : exit_damage, to_value(report)};
}

}  // namespace

Result<JobResult> handle_points(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request, from_value<serialization::PointsRequest>(document, "points"));
    SP_ASSIGN(const OpenVault open,
              open_vault_for(request.vault, context, vault::HangingFiles::give_up,
                             Metadata::may_be_cached));
    SP_ASSIGN(const auto found, route::points_of(*open.vault, request.vm));
    serialization::Array points;
    for (const vault::Point& point : found.points) {
        SP_ASSIGN(Value described, describe(point));
        points.push_back(std::move(described));
    }
    serialization::Array unreadable;
    for (const auto& point : reported(found.unreadable)) unreadable.push_back(to_value(point));
    const int status = unreadable.empty() ? exit_done : exit_damage;
    return JobResult{status,
                     Map{{"points", std::move(points)}, {"unreadable", std::move(unreadable)}}};
}

Result<JobResult> handle_points_diff(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request,
              from_value<serialization::PointsDiffRequest>(document, "points.diff"));
    SP_ASSIGN(const OpenVault open,
              open_vault_for(request.vault, context, vault::HangingFiles::give_up,
                             Metadata::may_be_cached));
    SP_ASSIGN(
        const auto report,
        route::diff_points(
            *open.vault, {.before = request.before, .now = request.now, .extents = request.extents},
            context.cancel));
    return JobResult{exit_done, to_value(report)};
}

Result<JobResult> handle_show(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request, from_value<serialization::ShowRequest>(document, "show"));
    SP_ASSIGN(const OpenVault open,
              open_vault_for(request.vault, context, vault::HangingFiles::give_up,
                             Metadata::may_be_cached));
    SP_ASSIGN(const vault::Point point, route::find_point(*open.vault, request.point));
    SP_ASSIGN(Value described, describe(point));
    return JobResult{exit_done, std::move(described)};
}

Result<JobResult> handle_restore(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request, from_value<serialization::RestoreRequest>(document, "restore"));
    SP_ASSIGN(const OpenVault open,
              open_vault_for(request.vault, context, vault::HangingFiles::give_up));
    const auto format = request.format == serialization::ImageFormat::raw ? restore::Format::raw
                                                                          : restore::Format::qcow2;
    const auto configuration =
        request.configuration ? route::WithConfiguration::yes : route::WithConfiguration::no;
    SP_ASSIGN(const auto report,
              route::run_restore(*open.vault,
                                 {.point = request.point,
                                  .to = request.to,
                                  .disks = request.disks,
                                  .format = format,
                                  .configuration = configuration},
                                 context.clock, context.reporter, context.cancel));
    return checked(report);
}

Result<JobResult> handle_points_confirm(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request,
              from_value<serialization::PointsConfirmRequest>(document, "points.confirm"));
    SP_ASSIGN(const OpenVault open, open_vault_for(request.vault, context));
    SP_ASSIGN(const auto ids, route::find_points(*open.vault, request.points));
    serialization::Array confirmed;
    for (const vault::PointId& id : ids) {
        SP_TRY(open.vault->confirm(id));
        confirmed.emplace_back(id);
    }
    return JobResult{exit_done, Map{{"confirmed", std::move(confirmed)}}};
}

Result<JobResult> handle_forget(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request, from_value<serialization::ForgetRequest>(document, "forget"));
    SP_ASSIGN(const OpenVault open, open_vault_for(request.vault, context));
    SP_ASSIGN(const auto ids,
              route::find_points(*open.vault, request.points, route::Damaged::by_full_id));
    serialization::Array forgotten;
    for (const vault::PointId& id : ids) {
        SP_TRY(open.vault->forget(id));
        forgotten.emplace_back(id);
    }
    return JobResult{exit_done, Map{{"forgotten", std::move(forgotten)}}};
}

}  // namespace stillpoint::abi
