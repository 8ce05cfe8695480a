#include "os/process_tree.hpp"

#include <dirent.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <sstream>

#include "os/fd.hpp"

namespace stillpoint::os {
namespace {

constexpr std::size_t stat_bytes_max = 4096;
constexpr std::size_t environment_bytes_max = 1u << 20;

struct Entry {
    ProcessId id;
    pid_t parent = 0;
    bool dead = false;
};

/// Of "PID (any text) STATE PPID …".
std::optional<Entry> read_entry(pid_t pid) {
    const auto text = read_file("/proc/" + std::to_string(pid) + "/stat", stat_bytes_max);
    if (!text) return std::nullopt;
    const std::size_t name_end = text->rfind(')');
    if (name_end == std::string::npos) return std::nullopt;
    std::istringstream fields{text->substr(name_end + 1)};
    Entry entry;
    char state = 0;
    fields >> state >> entry.parent;
    constexpr int between = 17;  // fields 5 to 21
    std::string skipped;
    for (int i = 0; i < between; ++i) fields >> skipped;
    entry.id.pid = pid;
    if (!(fields >> entry.id.start)) return std::nullopt;
    entry.dead = state == 'Z' || state == 'X';
    return entry;
}

std::vector<pid_t> all_pids() {
    const std::unique_ptr<DIR, int (*)(DIR*)> proc{::opendir("/proc"), ::closedir};
    std::vector<pid_t> pids;
    if (!proc) return pids;
    for (const dirent* entry = ::readdir(proc.get()); entry != nullptr;
         entry = ::readdir(proc.get())) {
        const std::string_view name = entry->d_name;
        pid_t pid = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (error == std::errc{} && end == name.data() + name.size()) pids.push_back(pid);
    }
    return pids;
}

}  // namespace

std::vector<ProcessId> descendants(const std::vector<pid_t>& roots,
                                   const std::set<ProcessId>& except) {
    std::multimap<pid_t, Entry> by_parent;
    for (const pid_t pid : all_pids()) {
        if (const auto entry = read_entry(pid)) by_parent.emplace(entry->parent, *entry);
    }
    std::vector<ProcessId> found;
    std::vector<pid_t> open = roots;
    while (!open.empty()) {
        const pid_t parent = open.back();
        open.pop_back();
        const auto [begin, end] = by_parent.equal_range(parent);
        for (auto child = begin; child != end; ++child) {
            if (except.contains(child->second.id)) continue;
            open.push_back(child->second.id.pid);
            if (!child->second.dead) found.push_back(child->second.id);
        }
    }
    return found;
}

std::vector<ProcessId> processes_with(const std::string& variable) {
    std::vector<ProcessId> found;
    for (const pid_t pid : all_pids()) {
        if (pid == ::getpid()) continue;
        auto text = read_file("/proc/" + std::to_string(pid) + "/environ", environment_bytes_max);
        if (!text) continue;
        text->insert(0, 1, '\0');
        text->push_back('\0');
        const std::string wanted = '\0' + variable + '\0';
        if (text->find(wanted) == std::string::npos) continue;
        if (const auto entry = read_entry(pid); entry && !entry->dead) found.push_back(entry->id);
    }
    return found;
}

bool alive(const ProcessId& process) {
    const auto entry = read_entry(process.pid);
    return entry && entry->id == process && !entry->dead;
}

void become_reaper() noexcept {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

}  // namespace stillpoint::os
