#include "freeze/freeze_run.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace stillpoint::linux_guest {
namespace {

using os::boottime;
using os::Nanoseconds;

constexpr Nanoseconds start_max = std::chrono::seconds{5};  // a busy machine forks slowly
constexpr int sync_rounds_max = 3;
/// A sync that took longer left time for new dirt, in proportion: worth another round.
constexpr Nanoseconds sync_was_short = std::chrono::milliseconds{500};

}  // namespace

Result<FreezeRun> FreezeRun::start(FreezePlan plan, os::Waiter& waiter,
                                   const FreezeSurvival& survival) {
    SP_ASSIGN(FreezeTable table, FreezeTable::create(plan.targets.size(), survival.state_file));
    FreezeRun run{std::move(plan), std::move(table), survival};
    run.open_targets();
    run.name_rows();
    if (run.units_.empty()) {
        return fail(Errc::unsupported, "freeze.nothing",
                    "there is no filesystem that can be frozen");
    }
    SP_TRY(run.allow_uncovered());
    std::vector<os::FdPair> alive;
    for (std::size_t i = 0; i < run.units_.size(); ++i) {
        SP_ASSIGN(os::FdPair pair, os::make_pipe());
        alive.push_back(std::move(pair));
    }
    SP_TRY(run.start_watchdog(alive));
    for (std::size_t i = 0; i < run.units_.size(); ++i) {
        SP_TRY(run.start_freezer(i, std::move(alive[i].second)));
    }
    SP_TRY(run.expect_news(WatchdogNews::ready, waiter));
    return run;
}

FreezeRun::~FreezeRun() {
    // Closing the line is what tells the watchdog; it stays a child of ours until it has ended.
    watchdog_.reset();
}

void FreezeRun::open_targets() {
    for (const Target& target : plan_.targets) {
        auto opened = open_target(target);
        if (opened) {
            units_.push_back({*std::move(opened), {}, {}});
        } else {
            plan_.uncovered.push_back(
                {target.name, target.type, target.device, false, opened.error().text});
        }
    }
}

/// For who finds the table later.
void FreezeRun::name_rows() {
    for (std::size_t i = 0; i < units_.size(); ++i) {
        const Target& target = units_[i].opened.target;
        FreezeRow& row = table_.row(i);
        row.device_major = target.device.major;
        row.device_minor = target.device.minor;
        row.level = target.level;
    }
}

std::vector<int> FreezeRun::kept_by_all() const {
    std::vector<int> keep;
    for (const int fd : {survival_.lock_fd, survival_.cgroup_procs_fd}) {
        if (fd >= 0) keep.push_back(fd);
    }
    return keep;
}

/// Strict: all or nothing; what is excluded was never asked for.
Status FreezeRun::allow_uncovered() const {
    if (plan_.mode != FreezeMode::strict) return {};
    const auto left = std::ranges::find(plan_.uncovered, false, &Uncovered::excluded);
    if (left == plan_.uncovered.end()) return {};
    return fail(Errc::unsupported, "freeze.uncovered",
                left->name + " cannot be held still: " + left->note,
                "exclude it in guest.xml, or set mode=\"best-effort\"");
}

Status FreezeRun::start_watchdog(const std::vector<os::FdPair>& alive) {
    SP_ASSIGN(os::FdPair line, os::make_packet_pair());
    const os::UniqueFd log{::open("/dev/kmsg", O_WRONLY | O_CLOEXEC)};
    WatchdogTools tools{line.second.get(), log.get(), survival_.lock_fd, {}, {}};
    std::vector<int> keep = kept_by_all();
    keep.insert(keep.end(), {tools.socket_fd, tools.log_fd});
    for (std::size_t i = 0; i < units_.size(); ++i) {
        tools.folder_fds.push_back(units_[i].opened.folder.get());
        tools.alive_fds.push_back(alive[i].first.get());
        keep.insert(keep.end(), {tools.folder_fds.back(), tools.alive_fds.back()});
    }
    SP_ASSIGN(os::Child child, os::fork_child("sp-watchdog", keep, [&] {
                  os::join_cgroup(survival_.cgroup_procs_fd);
                  return serve_watchdog(table_, tools);
              }));
    child.release();  // it must survive us
    watchdog_ = std::move(line.first);
    return {};
}

Status FreezeRun::start_freezer(std::size_t index, os::UniqueFd alive) {
    SP_ASSIGN(os::FdPair line, os::make_packet_pair());
    Unit& unit = units_[index];
    FreezerTools tools{unit.opened.folder.get(), line.second.get(), alive.get(), {}};
    std::vector<int> keep = kept_by_all();
    keep.insert(keep.end(), {tools.folder_fd, tools.socket_fd, tools.alive_fd});
    for (const os::UniqueFd& file : unit.opened.stat_files) {
        tools.stat_fds.push_back(file.get());
        keep.push_back(file.get());
    }
    SP_ASSIGN(unit.freezer, os::fork_child("sp-freezer", keep, [&] {
                  os::join_cgroup(survival_.cgroup_procs_fd);
                  os::harden(units_.size() <= locked_processes_max ? os::Memory::locked
                                                                   : os::Memory::as_it_is);
                  return serve_freezer(table_, index, tools);
              }));
    unit.socket = std::move(line.first);
    return {};
}

Status FreezeRun::expect_news(WatchdogNews wanted, os::Waiter& waiter) {
    const Nanoseconds until = boottime() + start_max;
    for (;;) {
        pollfd line{watchdog_.get(), POLLIN, 0};
        const os::WaitEnd end = waiter.wait({&line, 1}, until);
        if (end == os::WaitEnd::cancelled) {
            return fail(Errc::cancelled, "freeze.cancelled", "cancelled before the first freeze");
        }
        char news = 0;
        const ssize_t got = ::recv(watchdog_.get(), &news, 1, MSG_DONTWAIT);
        if (got == 1 && news == static_cast<char>(wanted)) return {};
        const bool nothing_yet = got < 0 && (errno == EAGAIN || errno == EINTR);
        if (nothing_yet && end == os::WaitEnd::ready) continue;
        watchdog_.reset();
        return fail(
            nothing_yet ? Errc::timeout : Errc::io, "freeze.watchdog",
            nothing_yet ? "the watchdog was not ready in time" : "the watchdog did not start",
            "look for lack of memory or processes in the guest");
    }
}

Status FreezeRun::sync(Nanoseconds until, os::Waiter& waiter) {
    for (int round = 0; round < sync_rounds_max; ++round) {
        const Nanoseconds begin = boottime();
        for (Unit& unit : units_) order(unit, FreezerOrder::sync);
        if (const Status done = await(until, waiter); !done) {
            if (done.error().id != "freeze.late") return done;
            return fail(Errc::timeout, "freeze.sync_timeout",
                        "writing out " + waiting_names() + " takes too long",
                        "try when the guest writes less");
        }
        if (boottime() - begin < sync_was_short) break;
    }
    return {};
}

Status FreezeRun::freeze(const FreezeBudgets& budgets, os::Waiter& waiter) {
    const auto run = [&]() -> Status {
        SP_TRY(arm(budgets, waiter));
        first_freeze_ = boottime();
        const Nanoseconds until = std::min(first_freeze_ + budgets.freeze, deadline_);
        for (int level = plan_.level_max(); level >= 0; --level) {
            SP_TRY(freeze_level(level, until, waiter));
        }
        frozen_ = boottime();
        return any_frozen() ? Status{} : judge_refused(nullptr);
    };
    const Status done = run();
    complete_ = done.has_value();
    if (!done) problem_ = done.error().text;
    return done;
}

Status FreezeRun::arm(const FreezeBudgets& budgets, os::Waiter& waiter) {
    const Nanoseconds now = boottime();
    deadline_ = now + budgets.hold;
    beat_at_ = now + heartbeat_every;
    const WatchdogOrder arming{WatchdogOrder::Kind::arm, deadline_.count()};
    ::send(watchdog_.get(), &arming, sizeof arming, MSG_NOSIGNAL | MSG_DONTWAIT);
    return expect_news(WatchdogNews::armed, waiter);
}

Status FreezeRun::freeze_level(int level, Nanoseconds until, os::Waiter& waiter) {
    const Nanoseconds now = boottime();
    for (Unit& unit : units_) {
        const Target& target = unit.opened.target;
        if (target.level != level) continue;
        unit.due = target.budget > Nanoseconds::zero() ? std::min(until, now + target.budget)
                                                       : Nanoseconds::max();
        order(unit, FreezerOrder::freeze);
    }
    if (const Status done = await(until, waiter); !done) {
        if (done.error().id != "freeze.late") return done;
        return fail(Errc::timeout, "freeze.timeout", waiting_names() + " did not freeze in time",
                    "look for programs that block writes there (virus scanners, stuck storage)");
    }
    return judge_level(level);
}

/// Whether the freeze may go on after what the filesystems of a level answered.
Status FreezeRun::judge_level(int level) const {
    if (plan_.mode != FreezeMode::strict) return {};
    for (std::size_t i = 0; i < units_.size(); ++i) {
        const bool here = units_[i].opened.target.level == level;
        if (here && table_.row(i).step == Step::refused) return judge_refused(&units_[i]);
    }
    return {};
}

/// @param unit the one to complain about; null: the first that was refused
Status FreezeRun::judge_refused(const Unit* unit) const {
    for (std::size_t i = 0; i < units_.size(); ++i) {
        const bool wanted = unit == nullptr || unit == &units_[i];
        if (!wanted || table_.row(i).step != Step::refused) continue;
        const std::string& name = units_[i].opened.target.name;
        const int error = table_.row(i).freeze_errno;
        if (error == EBUSY) {
            return fail(Errc::busy, "freeze.foreign", name + " is already frozen by somebody else",
                        "let the other program finish; if it is gone: fsfreeze --unfreeze " + name);
        }
        return fail(Errc::io, "freeze.failed", name + " cannot be frozen: " + std::strerror(error));
    }
    return {};
}

bool FreezeRun::any_frozen() const {
    for (std::size_t i = 0; i < units_.size(); ++i) {
        if (table_.row(i).step == Step::frozen) return true;
    }
    return false;
}

void FreezeRun::order(Unit& unit, FreezerOrder what) {
    if (what != FreezerOrder::freeze) unit.due = Nanoseconds::max();
    const char byte = static_cast<char>(what);
    unit.waiting = ::send(unit.socket.get(), &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
    if (!unit.waiting) unit.dead = true;
}

/// Until every order is answered; beats meanwhile.
/// @errors timeout, id "freeze.late" · those of tend · cancelled
Status FreezeRun::await(Nanoseconds until, os::Waiter& waiter) {
    for (;;) {
        SP_TRY(tend());
        std::vector<pollfd> descriptors;
        for (const Unit& unit : units_) {
            if (unit.waiting) descriptors.push_back({unit.socket.get(), POLLIN, 0});
        }
        if (descriptors.empty()) return {};
        const Nanoseconds now = boottime();
        const Nanoseconds due = std::min(until, first_due());
        if (now >= due) return fail(Errc::timeout, "freeze.late", waiting_names());
        descriptors.push_back({watchdog_.get(), POLLIN, 0});
        const Nanoseconds next = std::min(due, now + heartbeat_every / 2);
        if (waiter.wait(descriptors, next) == os::WaitEnd::cancelled) {
            return fail(Errc::cancelled, "freeze.cancelled", "cancelled");
        }
    }
}

Nanoseconds FreezeRun::first_due() const {
    Nanoseconds due = Nanoseconds::max();
    for (const Unit& unit : units_) {
        if (unit.waiting) due = std::min(due, unit.due);
    }
    return due;
}

void FreezeRun::watch(std::vector<pollfd>& descriptors) const {
    for (const Unit& unit : units_) descriptors.push_back({unit.socket.get(), POLLIN, 0});
    descriptors.push_back({watchdog_.get(), POLLIN, 0});
}

Status FreezeRun::tend() {
    beat();
    for (Unit& unit : units_) {
        char answer = 0;
        const ssize_t got = ::recv(unit.socket.get(), &answer, 1, MSG_DONTWAIT);
        if (got == 1) unit.waiting = false;
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) unit.dead = true;
        if (unit.dead) {
            return fail(Errc::io, "freeze.freezer_died",
                        "the process freezing " + unit.opened.target.name + " died");
        }
    }
    char news = 0;
    const ssize_t got = ::recv(watchdog_.get(), &news, 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    const Trigger trigger = table_.trigger();
    if (trigger == Trigger::none || trigger == Trigger::watchdog_gone) {
        return fail(Errc::io, "freeze.watchdog_died", "the watchdog died");
    }
    return fail(Errc::timeout, "freeze.deadline",
                std::string("the watchdog thawed: ") + text_of(trigger));
}

void FreezeRun::beat() {
    if (deadline_ == Nanoseconds::zero() || boottime() < beat_at_) return;
    const WatchdogOrder beating{};
    ::send(watchdog_.get(), &beating, sizeof beating, MSG_NOSIGNAL | MSG_DONTWAIT);
    beat_at_ = boottime() + heartbeat_every;
}

std::string FreezeRun::waiting_names() const {
    std::string names;
    for (const Unit& unit : units_) {
        if (!unit.waiting) continue;
        if (!names.empty()) names += ", ";
        const Target& target = unit.opened.target;
        names += target.name;
        if (!target.listener.empty()) names += " (watched by " + target.listener + ")";
    }
    return names;
}

}  // namespace stillpoint::linux_guest
