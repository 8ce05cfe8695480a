#include "route/restore_route.hpp"

#include <algorithm>

#include "base/limits.hpp"
#include "route/point_document.hpp"
#include "route/point_lookup.hpp"

namespace stillpoint::route {
namespace {

using serialization::CheckReport;

Result<std::vector<vault::DiskRoot>> choose_disks(const vault::Point& point,
                                                  const std::vector<std::string>& wanted) {
    if (wanted.empty()) return point.disks;
    std::vector<vault::DiskRoot> chosen;
    for (const std::string& name : wanted) {
        const auto found = std::find_if(point.disks.begin(), point.disks.end(),
                                        [&](const auto& disk) { return disk.disk == name; });
        if (found == point.disks.end()) {
            return fail(Errc::invalid, "point.no_such_disk",
                        "recovery point " + point.id + " has no disk " + name,
                        "`stillpoint show` lists its disks");
        }
        chosen.push_back(*found);
    }
    return chosen;
}

void add_damage(CheckReport& report, const vault::Point& point, const std::string& disk,
                const std::vector<restore::DamagedRange>& damage) {
    for (const restore::DamagedRange& range : damage) {
        report.damage.push_back({.point = point.id,
                                 .disk = disk,
                                 .offset = range.range.at.raw(),
                                 .length = range.range.length.raw(),
                                 .text = range.text});
    }
}

/// Tells the reporter about one disk's progress.
restore::Progress teller(Reporter& reporter, const std::string& phase,
                         const vault::DiskRoot& disk) {
    return [&reporter, phase, name = disk.disk, total = disk.size.raw()](std::uint64_t done) {
        reporter.progress({.phase = phase, .disk = name, .done = done, .total = total, .text = {}});
    };
}

Status write_definition(const vault::Point& point, const env::Path& folder) {
    SP_ASSIGN(const PointDocument document, decode_point_document(point.document));
    const bool is_xml = document.definition.starts_with('<');
    const env::Path file = folder / (is_xml ? "domain.xml" : "vm.json");
    if (std::filesystem::exists(file)) {
        // Another disk of the same point may have been restored here before.
        SP_ASSIGN(const Bytes present, env::read_file(file, limits::document_bytes_max));
        if (as_text(present) == document.definition) return {};
        return fail(Errc::busy, "restore.exists", file.string() + " exists and differs",
                    "choose an empty folder with --to");
    }
    return env::write_durably(file, as_bytes(document.definition), 0600, folder);
}

/// All targets are looked at before any is written: a name taken late would waste hours.
Status refuse_existing(const std::vector<vault::DiskRoot>& disks, const RestoreRequestPlan& plan) {
    const char* suffix = plan.format == restore::Format::raw ? ".raw" : ".qcow2";
    for (const vault::DiskRoot& disk : disks) {
        const env::Path file = plan.to / (disk.disk + suffix);
        if (std::filesystem::exists(file)) {
            return fail(Errc::busy, "restore.exists",
                        file.string() + " exists; nothing was written",
                        "choose an empty folder with --to");
        }
    }
    return {};
}

}  // namespace

Result<CheckReport> run_restore(vault::Vault& vault, const RestoreRequestPlan& plan,
                                const env::Clock& clock, Reporter& reporter,
                                const env::CancelToken& cancel) {
    const env::Nanoseconds start = clock.monotonic();
    SP_ASSIGN(const vault::Point point, find_point(vault, plan.point));
    SP_ASSIGN(const auto disks, choose_disks(point, plan.disks));
    SP_TRY(env::make_folders(plan.to, 0755));
    SP_TRY(refuse_existing(disks, plan));
    CheckReport report{.ok = true, .damage = {}, .points = 1, .files = {}};
    for (const vault::DiskRoot& disk : disks) {
        const restore::RestoreOptions options{.format = plan.format};
        SP_ASSIGN(const auto result,
                  restore::restore_disk(vault, disk, plan.to, options,
                                        teller(reporter, "restore", disk), cancel));
        add_damage(report, point, disk.disk, result.damage);
        report.files.push_back(result.file.string());
        report.bytes_read += result.data_bytes;
    }
    SP_TRY(write_definition(point, plan.to));
    report.ok = report.damage.empty();
    report.seconds = env::to_ms(clock.monotonic() - start) / 1000.0;
    return report;
}

Result<CheckReport> run_verify(vault::Vault& vault, const VerifyPlan& plan, const env::Clock& clock,
                               Reporter& reporter, const env::CancelToken& cancel) {
    const env::Nanoseconds start = clock.monotonic();
    SP_ASSIGN(const vault::Point point, find_point(vault, plan.point));
    std::vector<std::string> wanted;
    if (!plan.disk.empty()) wanted.push_back(plan.disk);
    SP_ASSIGN(const auto disks, choose_disks(point, wanted));
    if (!plan.against.empty() && disks.size() != 1) {
        return fail(Errc::invalid, "verify.disk_needed",
                    "recovery point " + point.id + " has several disks",
                    "name the one to compare with --disk");
    }
    CheckReport report{.ok = true, .damage = {}, .points = 1, .files = {}};
    for (const vault::DiskRoot& disk : disks) {
        const auto progress = teller(reporter, "verify", disk);
        SP_ASSIGN(const auto damage,
                  plan.against.empty()
                      ? restore::verify_disk(vault, disk, progress, cancel)
                      : restore::compare_with_file(vault, disk, plan.against, progress, cancel));
        add_damage(report, point, disk.disk, damage);
        report.bytes_read += disk.size.raw();
    }
    report.ok = report.damage.empty();
    report.seconds = env::to_ms(clock.monotonic() - start) / 1000.0;
    return report;
}

}  // namespace stillpoint::route
