#include <signal.h>
#include <sys/signalfd.h>

#include <cstdio>
#include <string>

#include "channel/port_finder.hpp"
#include "freeze/freeze_recovery.hpp"
#include "hooks/hook_runner.hpp"
#include "service/agent.hpp"
#include "service/command_line.hpp"
#include "service/plan_report.hpp"

/// The composition root of stillpoint-guest.
namespace stillpoint::linux_guest {
namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;

int complain(const Error& error) {
    const std::string remedy = error.remedy.empty() ? "" : "; " + error.remedy;
    std::fprintf(stderr, "stillpoint-guest: %s%s\n", error.text.c_str(), remedy.c_str());
    return error.code == Errc::invalid ? exit_usage : exit_failed;
}

/// SIGTERM and SIGINT as a descriptor; SIGHUP is no reason to end, a broken pipe is an errno.
os::UniqueFd stop_signals() {
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGHUP, SIG_IGN);
    sigset_t stop;
    ::sigemptyset(&stop);
    ::sigaddset(&stop, SIGTERM);
    ::sigaddset(&stop, SIGINT);
    ::sigprocmask(SIG_BLOCK, &stop, nullptr);
    return os::UniqueFd{::signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK)};
}

Status print_plan(const GuestConfig& config, bool json) {
    SP_ASSIGN(const FreezePlan plan, SystemFreezeEngine{config.rules}.plan());
    const std::string text =
        json ? to_json(plan_value(plan), serialization::JsonStyle::indented) + "\n"
             : plan_text(plan);
    std::fputs(text.c_str(), stdout);
    return {};
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

/// guest.xml may name a command of root's: then it is judged like one.
void judge_config(GuestConfig& config, const std::string& file) {
    if (!config.hook) return;
    if (auto opened = open_trusted(file, TrustRules::of_process()); !opened) {
        config.hook->problem = std::move(opened).error();
    }
}

Status serve(const GuestConfig& config, const CommandLine& line) {
    SP_ASSIGN(const os::UniqueFd target, open_log(line.log));
    GuestLog log{target.get(), Severity::info};
    const os::UniqueFd stop = stop_signals();
    HostLine host{[&]() -> Result<std::string> {
        if (line.channel.empty()) return find_port(guest_port_name);
        return line.channel;
    }};
    const os::UniqueFd only_one = recover(log);
    SystemFreezeEngine freezer{config.rules};
    log.line(Severity::info, "started version=" STILLPOINT_VERSION);
    SystemHooks hooks{{}};
    HookJournalFile journal{{}};
    Agent{config, {host, freezer, hooks, journal, log, stop.get()}}.run();
    log.line(Severity::info, "stopped");
    return {};
}

Status carry_out(const CommandLine& line) {
    if (line.command == Command::version) {
        std::puts("stillpoint-guest " STILLPOINT_VERSION);
        return {};
    }
    if (line.command == Command::help) {
        std::fputs(std::string(help_text()).c_str(), stdout);
        return {};
    }
    SP_ASSIGN(GuestConfig config, load_guest_config(line.config));
    judge_config(config, line.config);
    return line.command == Command::plan ? print_plan(config, line.json) : serve(config, line);
}

}  // namespace
}  // namespace stillpoint::linux_guest

int main(int argc, char** argv) {
    using namespace stillpoint::linux_guest;
    const std::span<const char* const> words{argv, static_cast<std::size_t>(argc)};
    const auto line = parse_command_line(words.subspan(1));
    if (!line) return complain(line.error());
    const stillpoint::Status done = carry_out(*line);
    return done ? 0 : complain(done.error());
}
