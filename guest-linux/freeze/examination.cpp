#include "freeze/examination.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include "os/fd.hpp"

namespace stillpoint::linux_guest {
namespace {

using serialization::Finding;
using serialization::MountCheck;

/// A freeze of an idle filesystem takes some ten milliseconds; this long stalls applications.
constexpr std::int64_t slow_freeze_ns = 1'000'000'000;

constexpr std::array<std::string_view, 6> freezer_names{"fsfreeze",   "hv_vss_daemon", "qemu-ga",
                                                        "safefreeze", "vmtoolsd",      "xe-daemon"};

void judge_target(const Target& target, std::vector<Finding>& findings) {
    if (target.level > 0) {
        findings.push_back({"doctor.stacked", "note", target.name,
                            "lies on a loop device, " + std::to_string(target.level) +
                                " deep; it is frozen before what holds its file",
                            ""});
    }
    if (!target.can_freeze) {
        findings.push_back({"doctor.unfreezable", "note", target.name,
                            target.type + " cannot be frozen; it is synced, and counts as held "
                                          "still if nothing is written meanwhile",
                            ""});
    }
    if (target.candidates.front().reach != Candidate::Reach::path) {
        findings.push_back({"doctor.hidden", "note", target.name,
                            "no path of this machine leads to it; it is frozen all the same",
                            "unmount what is no longer needed"});
    }
    if (!target.listener.empty()) {
        findings.push_back({"doctor.listener", "warning", target.name,
                            target.listener + " decides about every open there and writes to a "
                                              "filesystem that is frozen: a freeze may never end "
                                              "and is then given up",
                            "let it keep its log and database on a filesystem that is excluded "
                            "from the freeze, or exclude " +
                                target.name});
    }
}

}  // namespace

std::vector<Finding> judge_plan(const FreezePlan& plan, const ProcessScan& scan) {
    std::vector<Finding> findings;
    for (const Target& target : plan.targets) judge_target(target, findings);
    for (const Uncovered& left : plan.uncovered) {
        findings.push_back({left.excluded ? "doctor.excluded" : "doctor.uncovered",
                            left.excluded ? "note" : "warning", left.name,
                            "stays as it is: " + left.note,
                            left.excluded ? "" : "repair it, or exclude it in guest.xml"});
    }
    for (const std::string& rule : plan.unmatched) {
        findings.push_back({"doctor.rule", "warning", rule,
                            "a rule of guest.xml matches no block filesystem",
                            "correct or remove it"});
    }
    for (const Listener& listener : scan.listeners) {
        findings.push_back({"doctor.listeners", "note",
                            listener.process + " (pid " + std::to_string(listener.pid) + ")",
                            "decides about opens of other programs", ""});
    }
    if (!scan.complete) {
        findings.push_back(
            {"doctor.scan", "note", "", "too many processes to look at all of them in time", ""});
    }
    if (plan.targets.empty()) {
        findings.push_back({"freeze.nothing", "error", "", "there is no filesystem to freeze",
                            "see the rules in guest.xml"});
    }
    return findings;
}

std::vector<Finding> judge_dry_run(const MountCheck& check, const Error* error) {
    if (error != nullptr) {
        return {{error->id, error->code == Errc::cancelled ? "note" : "error", check.name,
                 error->text, error->remedy}};
    }
    if (check.freeze_ns < slow_freeze_ns) return {};
    return {{"doctor.slow", "warning", check.name,
             "its freeze took " + std::to_string(check.freeze_ns / 1'000'000) +
                 " ms, in which nothing could be written",
             "look for large writes in flight and slow storage"}};
}

std::vector<Finding> find_other_freezers(const std::string& proc) {
    std::vector<Finding> findings;
    std::error_code error;
    for (std::filesystem::directory_iterator at{proc, error}, end; !error && at != end;
         at.increment(error)) {
        const std::string pid = at->path().filename();
        if (pid.empty() || pid[0] < '0' || pid[0] > '9') continue;
        std::string name = os::read_file(at->path() / "comm", 64).value_or("");
        if (name.ends_with('\n')) name.pop_back();
        if (std::ranges::find(freezer_names, name) == freezer_names.end()) continue;
        findings.push_back({"doctor.other_freezer", "note", name + " (pid " + pid + ")",
                            "can freeze filesystems as well; what it holds is left alone",
                            "let only one backup product freeze at a time"});
    }
    return findings;
}

}  // namespace stillpoint::linux_guest
