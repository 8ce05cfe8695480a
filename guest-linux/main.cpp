#include <signal.h>
#include <sys/signalfd.h>

#include <cstdio>
#include <initializer_list>
#include <string>

#include "channel/port_finder.hpp"
#include "freeze/freeze_recovery.hpp"
#include "hooks/azure_import.hpp"
#include "hooks/hook_runner.hpp"
#include "hooks/journal_file.hpp"
#include "service/agent.hpp"
#include "service/command_line.hpp"
#include "service/doctor.hpp"
#include "service/plan_report.hpp"

/// The composition root of stillpoint-guest.
namespace stillpoint::linux_guest {
namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_repair = 3;

int complain(const Error& error) {
    const std::string remedy = error.remedy.empty() ? "" : "; " + error.remedy;
    std::fprintf(stderr, "stillpoint-guest: %s%s\n", error.text.c_str(), remedy.c_str());
    return error.code == Errc::invalid ? exit_usage : exit_failed;
}

/// Signals as a descriptor.
os::UniqueFd signals(std::initializer_list<int> numbers) {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : numbers) ::sigaddset(&set, number);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    return os::UniqueFd{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
}

Status print_plan(const GuestConfig& config, bool json) {
    SP_ASSIGN(const FreezePlan plan, SystemFreezeEngine{config.rules}.plan());
    const std::string text =
        json ? to_json(plan_value(plan), serialization::JsonStyle::indented) + "\n"
             : plan_text(plan);
    std::fputs(text.c_str(), stdout);
    return {};
}

/// @return whether something needs to be repaired
bool print_diagnosis(const GuestConfig& config, const CommandLine& line) {
    ::signal(SIGPIPE, SIG_IGN);
    SystemFreezeEngine freezer{config.rules};
    os::PlainWaiter waiter;
    const serialization::Diagnosis found =
        examine(freezer, config, TrustRules::of_process(), !line.no_freeze, waiter);
    const std::string text =
        line.json ? to_json(to_value(found), serialization::JsonStyle::indented) + "\n"
                  : serialization::diagnosis_text(found);
    std::fputs(text.c_str(), stdout);
    return serialization::needs_repair(found);
}

/// Thaws what an agent that died left frozen. @return the lock of the one that serves
os::UniqueFd recover(GuestLog& log) {
    const FreezePlaces places;
    os::UniqueFd only_one = lock_agent(places);
    if (!only_one.valid()) {
        log.line(Severity::warning, "another stillpoint-guest serves this machine");
        return only_one;
    }
    os::PlainWaiter waiter;
    const Recovered found = recover_frozen(places, waiter);
    for (const std::string& name : found.thawed) {
        log.line(Severity::error, "thawed what an earlier run left frozen: " + name);
    }
    for (const std::string& problem : found.problems) log.line(Severity::error, problem);
    return only_one;
}

Status print_import(const std::string& file) {
    constexpr std::size_t file_bytes_max = 1u << 20;
    SP_ASSIGN(const std::string json, os::read_file(file, file_bytes_max));
    SP_ASSIGN(const AzureImport import, import_azure(json));
    // What is printed must be what the service accepts.
    SP_TRY(parse_guest_config(import.xml, "the result"));
    for (const std::string& note : import.notes) std::fprintf(stderr, "%s\n", note.c_str());
    std::fputs(import.xml.c_str(), stdout);
    return {};
}

/// guest.xml may name a command of root's: then it is judged like one.
void judge_config(GuestConfig& config, const std::string& file) {
    if (!config.hook) return;
    if (auto opened = open_trusted(file, TrustRules::of_process()); !opened) {
        config.hook->problem = std::move(opened).error();
    }
}

Result<GuestConfig> load_config(const std::string& file) {
    SP_ASSIGN(GuestConfig config, load_guest_config(file));
    judge_config(config, file);
    return config;
}

Status serve(const GuestConfig& config, const CommandLine& line) {
    SP_ASSIGN(const os::UniqueFd target, open_log(line.log));
    GuestLog log{target.get(), Severity::info};
    ::signal(SIGPIPE, SIG_IGN);  // a broken pipe is an errno
    const os::UniqueFd stop = signals({SIGTERM, SIGINT});
    const os::UniqueFd reload = signals({SIGHUP});
    HostLine host{[&]() -> Result<std::string> {
        if (line.channel.empty()) return find_port(guest_port_name);
        return line.channel;
    }};
    const os::UniqueFd only_one = recover(log);
    SystemFreezeEngine freezer{config.rules};
    log.line(Severity::info, "started version=" STILLPOINT_VERSION);
    SystemHooks hooks{{}};
    HookJournalFile journal{{}};
    Agent::Parts parts{host, freezer, hooks, journal, log, stop.get()};
    parts.reload_fd = reload.get();
    parts.reload = [&] { return load_config(line.config); };
    Agent{config, parts}.run();
    log.line(Severity::info, "stopped");
    return {};
}

Result<int> carry_out(const CommandLine& line) {
    if (line.command == Command::version) {
        std::puts("stillpoint-guest " STILLPOINT_VERSION);
        return 0;
    }
    if (line.command == Command::help) {
        std::fputs(std::string(help_text()).c_str(), stdout);
        return 0;
    }
    if (line.command == Command::import_azure) {
        SP_TRY(print_import(line.file));
        return 0;
    }
    SP_ASSIGN(const GuestConfig config, load_config(line.config));
    if (line.command == Command::doctor) return print_diagnosis(config, line) ? exit_repair : 0;
    SP_TRY(line.command == Command::plan ? print_plan(config, line.json) : serve(config, line));
    return 0;
}

}  // namespace
}  // namespace stillpoint::linux_guest

int main(int argc, char** argv) {
    using namespace stillpoint::linux_guest;
    const std::span<const char* const> words{argv, static_cast<std::size_t>(argc)};
    const auto line = parse_command_line(words.subspan(1));
    if (!line) return complain(line.error());
    const auto done = carry_out(*line);
    return done ? *done : complain(done.error());
}
