#include "service/doctor.hpp"

#include <sys/statvfs.h>
#include <sys/timex.h>

#include <algorithm>
#include <ctime>

namespace stillpoint::linux_guest {
namespace {

using serialization::Diagnosis;
using serialization::Finding;

constexpr std::int64_t ns_per_s = 1'000'000'000;
constexpr std::time_t clock_set_after = 1'735'689'600;  // 2025: this program is younger
constexpr unsigned long long journal_bytes_min = 1u << 20;
constexpr const char* state_folder = "/var/lib/stillpoint";

void add_hooks(const GuestConfig& config, const TrustRules& trust, std::vector<Finding>& findings) {
    HookFolder folder = read_hook_folder(config.hooks_folder, trust);
    if (config.hook) folder.hooks.insert(folder.hooks.begin(), *config.hook);
    for (const std::string& name : folder.ignored) {
        findings.push_back({"doctor.hook_name", "warning", config.hooks_folder + "/" + name,
                            "is not run: its name is not NN-name", "rename or remove it"});
    }
    for (const Hook& hook : folder.hooks) {
        if (!hook.problem) {
            findings.push_back({"doctor.hook", "ok", hook.name, "can be run", ""});
            continue;
        }
        findings.push_back(
            {hook.problem->id, "error", hook.name, hook.problem->text, hook.problem->remedy});
    }
}

std::int64_t add_clock(std::vector<Finding>& findings) {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    timex state{};
    const bool synchronised = ::adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0;
    if (now.tv_sec < clock_set_after) {
        findings.push_back({"doctor.clock", "warning", "", "the clock has not been set",
                            "set it, and let a time service keep it"});
    } else if (!synchronised) {
        findings.push_back({"doctor.clock", "note", "", "no time service keeps the clock",
                            "start one, such as systemd-timesyncd or chrony"});
    }
    return now.tv_sec * ns_per_s + now.tv_nsec;
}

/// The folder, or the nearest one above it that exists.
void add_journal(std::vector<Finding>& findings) {
    struct statvfs room {};
    std::string folder = state_folder;
    while (folder.size() > 1 && ::statvfs(folder.c_str(), &room) != 0) {
        folder.resize(std::max<std::size_t>(folder.rfind('/'), 1));
    }
    if (folder.size() <= 1 && ::statvfs("/", &room) != 0) return;
    const unsigned long long bytes = static_cast<unsigned long long>(room.f_bavail) * room.f_frsize;
    const bool read_only = (room.f_flag & ST_RDONLY) != 0;
    if (bytes >= journal_bytes_min && !read_only && room.f_favail != 0) return;
    findings.push_back({"doctor.journal", "error", state_folder,
                        read_only ? "the journal's filesystem is read-only"
                                  : "there is no room for the journal of the hooks",
                        "hooks do not start without their journal: make room"});
}

}  // namespace

Diagnosis examine(FreezeEngine& freezer, const GuestConfig& config, const TrustRules& trust,
                  bool dry_run, os::Waiter& waiter) {
    Diagnosis diagnosis = freezer.examine(dry_run, waiter);
    add_hooks(config, trust, diagnosis.findings);
    diagnosis.realtime_ns = add_clock(diagnosis.findings);
    add_journal(diagnosis.findings);
    return diagnosis;
}

}  // namespace stillpoint::linux_guest
