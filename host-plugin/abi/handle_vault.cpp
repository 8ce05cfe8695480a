#include "abi/handlers.hpp"
#include "abi/vault_access.hpp"
#include "route/point_lookup.hpp"
#include "serialization/requests.hpp"
#include "vault/keyless_check.hpp"

namespace stillpoint::abi {

using serialization::from_value;
using serialization::Map;
using serialization::to_value;
using serialization::Value;

namespace {

/// 1 where there is nothing yet.
double ratio(std::uint64_t whole, std::uint64_t part) {
    return part == 0 ? 1 : static_cast<double>(whole) / static_cast<double>(part);
}

/// Tells how far work on the whole vault has come. @param context outlives the result
vault::ProgressFn progress_of(std::string phase, const JobContext& context) {
    return [phase = std::move(phase), &context](std::uint64_t done, std::uint64_t total) {
        context.reporter.progress(
            {.phase = phase, .disk = {}, .done = done, .total = total, .text = {}});
    };
}

Result<vault::CheckResult> check_as_asked(const serialization::VaultCheckRequest& request,
                                          const JobContext& context) {
    const auto progress = progress_of("check", context);
    if (request.without_key) {
        SP_ASSIGN(const auto store,
                  open_store_for(request.vault, context, vault::HangingFiles::give_up));
        return vault::check_without_key(*store, {.progress = progress, .cancel = context.cancel});
    }
    const auto open = open_vault_for(request.vault, context, vault::HangingFiles::give_up);
    if (!open && open.error().id == "vault.key_needed") {
        Error error = open.error();
        error.remedy += "; or see with --without-key what proves itself";
        return fail(std::move(error));
    }
    if (!open) return fail(open.error());
    const auto depth =
        request.read_data ? vault::CheckDepth::read_data : vault::CheckDepth::structure;
    return open->vault->check(depth, progress, context.cancel);
}

}  // namespace

Result<JobResult> handle_vault_init(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request,
              from_value<serialization::VaultInitRequest>(document, "vault.init"));
    SP_TRY(create_vault(request, context));
    return JobResult{exit_done, Map{{"ok", true},
                                    {"vault", request.vault},
                                    {"encryption", name_of(request.encryption)},
                                    {"chunk_bytes", std::int64_t{request.chunk_bytes}}}};
}

Result<JobResult> handle_vault_check(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request,
              from_value<serialization::VaultCheckRequest>(document, "vault.check"));
    const env::Nanoseconds start = context.clock.monotonic();
    SP_ASSIGN(const auto result, check_as_asked(request, context));
    serialization::CheckReport report{.ok = result.damage.empty(),
                                      .damage = {},
                                      .points = result.points,
                                      .bytes_read = result.bytes_read,
                                      .files = {},
                                      .packs = result.packs,
                                      .without_key = request.without_key};
    if (request.without_key) report.note = vault::keyless_check_note;
    for (const vault::DamageFound& found : result.damage) {
        report.damage.push_back({.point = found.point,
                                 .disk = found.disk,
                                 .offset = found.range.at.raw(),
                                 .length = found.range.length.raw(),
                                 .text = found.text});
    }
    report.seconds = env::to_ms(context.clock.monotonic() - start) / 1000.0;
    return JobResult{report.ok ? exit_done : exit_damage, to_value(report)};
}

Result<JobResult> handle_vault_stats(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request,
              from_value<serialization::VaultStatsRequest>(document, "vault.stats"));
    SP_ASSIGN(const OpenVault open,
              open_vault_for(request.vault, context, vault::HangingFiles::give_up));
    vault::StatsRequest wanted{.read_maps = request.read_maps, .forget = {}};
    SP_ASSIGN(wanted.forget, route::find_points(*open.vault, request.forget));
    SP_ASSIGN(const vault::Stats stats, open.vault->stats(wanted, context.cancel));
    serialization::StatsReport report{
        .points = stats.points,
        .packs = stats.packs,
        .chunks = stats.chunks,
        .logical_bytes = stats.logical_bytes,
        .unique_bytes = stats.unique_bytes,
        .stored_bytes = stats.stored_bytes,
        .compression_ratio = ratio(stats.unique_bytes, stats.chunk_bytes_stored),
        .data_bytes = stats.data_bytes,
        .dedupe_ratio = {},
        .freed_bytes = stats.freed_bytes,
        .unreadable = reported(stats.unreadable)};
    if (stats.data_bytes) report.dedupe_ratio = ratio(*stats.data_bytes, stats.unique_bytes);
    return JobResult{report.unreadable.empty() ? exit_done : exit_damage, to_value(report)};
}

Result<JobResult> handle_vault_gc(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request, from_value<serialization::VaultGcRequest>(document, "vault.gc"));
    const env::Nanoseconds start = context.clock.monotonic();
    SP_ASSIGN(const OpenVault open, open_vault_for(request.vault, context));
    const auto progress = progress_of("gc", context);
    const vault::GcOptions options{.mode = request.dry_run ? vault::GcMode::plan
                                                           : vault::GcMode::collect};
    SP_ASSIGN(const auto found, open.vault->collect(options, progress, context.cancel));
    const serialization::GcReport report{
        .dry_run = request.dry_run,
        .points = found.points,
        .bytes_before = found.bytes_before,
        .unreachable_bytes = found.dead_bytes,
        .sparse_bytes = found.sparse_bytes,
        .freed_bytes = found.freed_bytes,
        .freed_packs = found.freed_packs,
        .written_bytes = found.written_bytes,
        .waiting_bytes = found.waiting_bytes,
        .skipped_bytes = found.young_bytes,
        .rescued_packs = found.rescued_packs,
        .lost_points = found.lost_points,
        .waiting_for = {found.waiting_for.begin(), found.waiting_for.end()},
        .seconds = env::to_ms(context.clock.monotonic() - start) / 1000.0};
    return JobResult{exit_done, to_value(report)};
}

Result<JobResult> handle_vault_repair(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request,
              from_value<serialization::VaultRepairRequest>(document, "vault.repair"));
    const env::Nanoseconds start = context.clock.monotonic();
    SP_ASSIGN(const OpenVault open, open_vault_for(request.vault, context));
    const auto progress = progress_of("repair", context);
    const vault::RepairOptions options{
        .mode = request.dry_run ? vault::RepairMode::plan : vault::RepairMode::repair,
        .read_data = request.read_data};
    SP_ASSIGN(auto found, open.vault->repair(options, progress, context.cancel));
    const serialization::RepairReport report{
        .ok = found.unreadable.empty() && found.lost_chunks == 0,
        .dry_run = request.dry_run,
        .damaged_segments = found.damaged_segments,
        .indexed_packs = found.indexed_packs,
        .indexed_chunks = found.indexed_chunks,
        .recovered = std::move(found.recovered),
        .rewritten = std::move(found.rewritten),
        .copied = found.copied,
        .emptied_packs = found.emptied_packs,
        .lost_chunks = found.lost_chunks,
        .unreadable = std::move(found.unreadable),
        .seconds = env::to_ms(context.clock.monotonic() - start) / 1000.0};
    return JobResult{report.ok ? exit_done : exit_damage, to_value(report)};
}

Result<JobResult> handle_vault_key(const Value& document, const JobContext& context) {
    SP_ASSIGN(const auto request,
              from_value<serialization::VaultKeyRequest>(document, "vault.key"));
    SP_ASSIGN(const KeyChange change, change_keys(request, context));
    serialization::KeysReport report{.added = change.added, .removed = change.removed, .keys = {}};
    for (const vault::KeyInfo& key : change.keys) {
        const std::string_view method =
            key.encryption == vault::Encryption::keyfile ? "keyfile" : "passphrase";
        report.keys.push_back({.id = key.id,
                               .encryption = std::string{key.damaged ? "" : method},
                               .opened = key.opened,
                               .damaged = key.damaged});
    }
    return JobResult{exit_done, to_value(report)};
}

}  // namespace stillpoint::abi
