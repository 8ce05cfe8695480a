#include "route/restore_route.hpp"

#include <algorithm>
#include <thread>

#include "route/point_lookup.hpp"
#include "route/restore_configuration.hpp"

namespace stillpoint::route {
namespace {

/// Two a core: one computes while the other one waits for its disk.
unsigned restore_workers() {
    constexpr unsigned least = 2;
    constexpr unsigned most = 16;  // each holds a few MiB
    return std::clamp(2 * std::thread::hardware_concurrency(), least, most);
}

using serialization::CheckReport;

/// Files of the VM's configuration are proven like disks, but are none.
enum class Roots { disks, all };

Result<std::vector<vault::DiskRoot>> choose(const vault::Point& point, Roots roots,
                                            const std::vector<std::string>& wanted) {
    std::vector<vault::DiskRoot> chosen;
    if (wanted.empty()) {
        std::copy_if(point.disks.begin(), point.disks.end(), std::back_inserter(chosen),
                     [&](const auto& root) {
                         return roots == Roots::all || !vault::is_attachment(root.disk);
                     });
        return chosen;
    }
    for (const std::string& name : wanted) {
        const auto found = std::find_if(point.disks.begin(), point.disks.end(),
                                        [&](const auto& disk) { return disk.disk == name; });
        const bool other = roots == Roots::disks && vault::is_attachment(name);
        if (found == point.disks.end() || other) {
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

/// All targets are looked at before any is written: a name taken late would waste hours.
Status refuse_existing(const std::vector<vault::DiskRoot>& disks, const RestoreRequestPlan& plan) {
    const char* suffix = plan.format == restore::Format::raw ? ".raw" : ".qcow2";
    for (const vault::DiskRoot& disk : disks) {
        const env::Path file = plan.to / (disk.disk + suffix);
        // A link counts, also one that leads nowhere: O_EXCL would refuse it later.
        std::error_code unreadable;
        if (std::filesystem::exists(std::filesystem::symlink_status(file, unreadable))) {
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
    SP_ASSIGN(const auto disks, choose(point, Roots::disks, plan.disks));
    SP_TRY(env::make_folders(plan.to, 0755));
    SP_TRY(refuse_existing(disks, plan));
    ConfigurationRestore configuration;
    if (plan.configuration == WithConfiguration::yes) {
        SP_ASSIGN(configuration, load_configuration(vault, point, plan.to));
    }
    CheckReport report{.ok = true, .damage = {}, .points = 1, .files = {}};
    for (const vault::DiskRoot& disk : disks) {
        const restore::RestoreOptions options{.format = plan.format, .workers = restore_workers()};
        SP_ASSIGN(const auto result,
                  restore::restore_disk(vault, disk, plan.to, options,
                                        teller(reporter, "restore", disk), cancel));
        add_damage(report, point, disk.disk, result.damage);
        report.files.push_back(result.file.string());
        report.bytes_read += result.data_bytes;
    }
    SP_TRY(write_configuration(configuration));
    for (const RestoredFile& file : configuration.files) {
        report.files.push_back(file.path.string());
        report.bytes_read += file.content.size();
    }
    for (auto& damage : configuration.damage) report.damage.push_back(std::move(damage));
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
    const Roots roots = plan.against.empty() ? Roots::all : Roots::disks;
    SP_ASSIGN(const auto disks, choose(point, roots, wanted));
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
