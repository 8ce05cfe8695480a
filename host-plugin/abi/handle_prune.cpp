#include <map>

#include "abi/handlers.hpp"
#include "abi/vault_access.hpp"
#include "env/files.hpp"
#include "policy/retention.hpp"
#include "route/point_document.hpp"
#include "route/point_lookup.hpp"

namespace stillpoint::abi {
namespace {

using serialization::PrunedPoint;
using serialization::PruneReport;
using serialization::PruneRequest;
using serialization::RetentionRules;

constexpr std::size_t policy_bytes_max = 1u << 20;

struct Candidate {
    vault::Point point;
    policy::RetainedPoint facts;
};
/// By the VM's uuid, or its name where it has none.
using ByVm = std::map<std::string, std::vector<Candidate>>;

Result<HostConfig> policy_of(const PruneRequest& request, const JobContext& context) {
    if (request.policy.empty()) return context.config;
    SP_ASSIGN(const Bytes bytes, env::read_file(request.policy, policy_bytes_max));
    return parse_host_config(std::string{as_text(bytes)}, request.policy);
}

Status add_candidates(std::vector<vault::Point> points, ByVm& found) {
    for (vault::Point& point : points) {
        SP_ASSIGN(const auto document, route::decode_point_document(point.document));
        const std::string key = point.vm_uuid.empty() ? "name " + point.vm_name : point.vm_uuid;
        const policy::RetainedPoint facts{point.id, env::Nanoseconds{document.time_ns},
                                          document.level, point.recovered};
        found[key].push_back({std::move(point), facts});
    }
    return {};
}

/// @param vms names or uuids; empty: all
Result<ByVm> candidates(const vault::PointList& list, const std::vector<std::string>& vms) {
    ByVm found;
    if (vms.empty()) SP_TRY(add_candidates(list.points, found));
    for (const std::string& vm : vms) {
        ByVm some;
        SP_TRY(add_candidates(route::points_of(list, vm).points, some));
        if (some.empty()) {
            return fail(Errc::not_found, "point.not_found", "no recovery point of VM " + vm,
                        "`stillpoint points` lists what the vault holds");
        }
        found.merge(some);
    }
    return found;
}

PrunedPoint verdict_on(const Candidate& candidate, std::vector<std::string> reasons) {
    return {candidate.point.id,      candidate.point.vm_name,
            candidate.point.vm_uuid, env::rfc3339(candidate.facts.time),
            candidate.facts.level,   std::move(reasons)};
}

Status judge(const std::vector<Candidate>& points, const RetentionRules& rules,
             PruneReport& report) {
    std::vector<policy::RetainedPoint> facts;
    facts.reserve(points.size());
    for (const Candidate& candidate : points) facts.push_back(candidate.facts);
    auto reasons = policy::reasons_to_keep(facts, rules);
    if (!reasons) return fail(in_step("VM " + points.front().point.vm_name, reasons.error()));
    for (std::size_t at = 0; at < points.size(); ++at) {
        auto& list = (*reasons)[at].empty() ? report.forgotten : report.kept;
        list.push_back(verdict_on(points[at], std::move((*reasons)[at])));
    }
    return {};
}

}  // namespace

/// All is decided before anything is forgotten: a rule that cannot be understood loses nothing.
Result<JobResult> handle_prune(const serialization::Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request, serialization::from_value<PruneRequest>(document, "prune"));
    SP_ASSIGN(const HostConfig config, policy_of(request, context));
    SP_ASSIGN(const OpenVault open, open_vault_for(request.vault, context));
    SP_ASSIGN(const vault::PointList list, open.vault->point_list());
    SP_ASSIGN(const ByVm vms, candidates(list, request.vms));
    PruneReport report{.dry_run = request.dry_run,
                       .kept = {},
                       .forgotten = {},
                       .unreadable = reported(list.unreadable)};
    for (const auto& [vm, points] : vms) {
        const vault::Point& any = points.back().point;
        RetentionRules rules = config.retention_of(any.vm_name, any.vm_uuid);
        if (request.keep.keeps_something()) {
            const std::string zone = request.keep.zone.empty() ? rules.zone : request.keep.zone;
            rules = request.keep;
            rules.zone = zone;
        }
        SP_TRY(judge(points, rules, report));
    }
    for (const PrunedPoint& point : report.forgotten) {
        if (request.dry_run) break;
        SP_TRY(context.cancel.check());
        const Status forgotten = open.vault->forget(point.point);
        // Somebody else has forgotten it meanwhile.
        if (!forgotten && forgotten.error().code != Errc::not_found) return fail(forgotten.error());
    }
    const int status = report.unreadable.empty() ? exit_done : exit_damage;
    return JobResult{status, serialization::to_value(report)};
}

}  // namespace stillpoint::abi
