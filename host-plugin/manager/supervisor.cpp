#include "manager/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>

#include "manager/stop_signals.hpp"

namespace stillpoint::manager {
namespace {

using Clock = std::chrono::steady_clock;

// A child that has said how it ends has nothing left to do.
constexpr std::chrono::seconds end_patience{2};
// More than all budgets of a cancelled job together: what still runs then hangs.
constexpr std::chrono::seconds stop_patience{90};
constexpr int exit_cancelled = 130;
constexpr int exit_lost = 1;

sigset_t watched_signals() {
    sigset_t set{};
    sigemptyset(&set);
    for (const int signal : stop_signals()) sigaddset(&set, signal);
    sigaddset(&set, SIGCHLD);
    return set;
}

[[noreturn]] void run_child(const std::function<int()>& work, int verdict_fd) {
    const auto status = static_cast<unsigned char>(work());
    std::fflush(nullptr);
    // The last word, in case that the kernel does not let us end.
    [[maybe_unused]] const auto written = ::write(verdict_fd, &status, 1);
    // No destructors of static objects: a thread that comes back from the kernel must not see them.
    ::_exit(status);
}

/// Dies of the same signal, so that whoever waits for us sees what happened.
[[noreturn]] void die_of(int signal) {
    const rlimit no_core{0, 0};  // the child left one if it could
    ::setrlimit(RLIMIT_CORE, &no_core);
    std::signal(signal, SIG_DFL);
    sigset_t set{};
    sigemptyset(&set);
    sigaddset(&set, signal);
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
    ::raise(signal);
    ::_exit(128 + signal);
}

class Supervisor {
public:
    Supervisor(pid_t child, int verdict_fd, int signal_fd)
        : child_(child), verdict_fd_(verdict_fd), signal_fd_(signal_fd) {}

    int run() {
        while (true) {
            if (const auto status = reap()) return *status;
            if (Clock::now() >= ends_at_) {
                if (const auto status = out_of_patience()) return *status;
            }
            wait();
            read_signals();
            read_verdict();
        }
    }

private:
    [[nodiscard]] std::optional<int> reap() const {
        int status = 0;
        const pid_t ended = ::waitpid(child_, &status, WNOHANG);
        if (ended == 0) return std::nullopt;
        if (ended < 0) return exit_lost;
        if (WIFSIGNALED(status) && killed_) return exit_cancelled;
        if (WIFSIGNALED(status)) die_of(WTERMSIG(status));
        return WEXITSTATUS(status);
    }

    std::optional<int> out_of_patience() {
        if (verdict_) return *verdict_;
        if (killed_) return exit_cancelled;
        if (!verdict_open_) {
            std::fputs("stillpoint: the backup process was killed and cannot end\n", stderr);
            return exit_lost;
        }
        killed_ = true;
        ::kill(child_, SIGKILL);
        ends_at_ = Clock::now() + end_patience;
        return std::nullopt;
    }

    void wait() const {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            ends_at_ - Clock::now() + std::chrono::milliseconds{1});
        const bool limited = ends_at_ != Clock::time_point::max();
        const int timeout_ms =
            limited ? static_cast<int>(std::max<std::int64_t>(left.count(), 0)) : -1;
        std::array<pollfd, 2> polls{pollfd{signal_fd_, POLLIN, 0},
                                    pollfd{verdict_open_ ? verdict_fd_ : -1, POLLIN, 0}};
        ::poll(polls.data(), polls.size(), timeout_ms);  // a signal wakes it as well
    }

    void read_signals() {
        signalfd_siginfo info{};
        while (::read(signal_fd_, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGCHLD) continue;
            ::kill(child_, static_cast<int>(info.ssi_signo));
            shorten(stop_patience);
        }
    }

    void read_verdict() {
        if (!verdict_open_) return;
        unsigned char status = 0;
        const auto got = ::read(verdict_fd_, &status, 1);
        if (got < 0) return;
        if (got == 1) verdict_ = status;
        verdict_open_ = false;
        shorten(end_patience);
    }

    void shorten(std::chrono::seconds patience) {
        ends_at_ = std::min(ends_at_, Clock::now() + patience);
    }

    pid_t child_;
    int verdict_fd_, signal_fd_;
    std::optional<int> verdict_;
    bool verdict_open_ = true;
    bool killed_ = false;
    Clock::time_point ends_at_ = Clock::time_point::max();
};

}  // namespace

int supervise(const std::function<int()>& work) {
    std::array<int, 2> verdict{};
    const sigset_t watched = watched_signals();
    sigset_t before{};
    if (::pipe2(verdict.data(), O_CLOEXEC | O_NONBLOCK) != 0) return work();
    ::sigprocmask(SIG_BLOCK, &watched, &before);
    const int signal_fd = ::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    const pid_t parent = ::getpid();
    const pid_t child = signal_fd < 0 ? -1 : ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(exit_lost);  // it died before that line
        ::close(signal_fd);
        ::close(verdict[0]);
        ::sigprocmask(SIG_SETMASK, &before, nullptr);
        run_child(work, verdict[1]);
    }
    ::close(verdict[1]);
    if (child < 0) {
        // No second process to be had: everything works but for an end while the kernel hangs.
        ::sigprocmask(SIG_SETMASK, &before, nullptr);
        return work();
    }
    return Supervisor{child, verdict[0], signal_fd}.run();
}

}  // namespace stillpoint::manager
