#include "hooks/hook_runner.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "hooks/hook_child.hpp"
#include "hooks/output_tail.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::boottime;
using os::Nanoseconds;
using os::UniqueFd;

constexpr std::size_t drain_bytes_max = 1u << 20;  // then it is time to look at the clock

/// SIGCHLD as a descriptor for the time of one hook; blocked before the fork, so none is missed.
class ChildSignal {
public:
    ChildSignal() {
        sigset_t child;
        ::sigemptyset(&child);
        ::sigaddset(&child, SIGCHLD);
        ::sigprocmask(SIG_BLOCK, &child, &before_);
        fd_ = UniqueFd{::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK)};
    }
    ChildSignal(const ChildSignal&) = delete;
    ChildSignal& operator=(const ChildSignal&) = delete;
    ~ChildSignal() { ::sigprocmask(SIG_SETMASK, &before_, nullptr); }
    [[nodiscard]] int fd() const { return fd_.get(); }
    void drain() const {
        signalfd_siginfo info{};
        while (::read(fd_.get(), &info, sizeof info) > 0) {
        }
    }

private:
    sigset_t before_{};
    UniqueFd fd_;
};

/// @return true: there may be more later; false: end of file
bool drain(int fd, OutputTail& tail) {
    std::array<char, 16384> piece{};
    for (std::size_t taken = 0; taken < drain_bytes_max;) {
        const ssize_t got = ::read(fd, piece.data(), piece.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got < 0 && errno == EAGAIN;
        tail.add({piece.data(), static_cast<std::size_t>(got)});
        taken += static_cast<std::size_t>(got);
    }
    return true;
}

/// One execution, from the fork to the end of everything that must not outlive it.
class Run {
public:
    Run(const HookOrder& order, const HookPen& pen, os::Waiter& waiter)
        : order_(order), pen_(pen), waiter_(waiter) {}

    HookResult go(const std::string& state_folder, const TrustRules& trust) {
        const Nanoseconds begin = boottime();
        if (Status started = start(state_folder, trust); !started) {
            result_.output = started.error().text;
            return std::move(result_);
        }
        wait(begin + order_.timeout);
        // What a failed try left behind would work against the next, or against post.
        if (!result_.succeeded()) pen_.kill();
        drain(output_.get(), tail_);
        result_.output = tail_.take();
        take_refusal();
        result_.duration = boottime() - begin;
        return std::move(result_);
    }

private:
    Status start(const std::string& state_folder, const TrustRules& trust) {
        SP_ASSIGN(os::UniqueFd program, open_trusted(order_.command.command, trust));
        SP_ASSIGN(os::User user, os::find_user(order_.command.user));
        SP_ASSIGN(os::FdPair output, os::make_pipe());
        SP_ASSIGN(os::FdPair error, os::make_pipe());
        ::fcntl(output.first.get(), F_SETFL, O_NONBLOCK);
        ::fcntl(error.first.get(), F_SETFL, O_NONBLOCK);
        const ChildParts parts{pen_,
                               std::move(user),
                               state_folder,
                               std::move(program),
                               std::move(output.second),
                               std::move(error.second),
                               order_.keep};
        pid_ = ::fork();
        if (pid_ < 0) return fail(os::os_error("start " + order_.command.command, errno));
        if (pid_ == 0) become_hook(order_, parts);
        refused_ = std::move(error.first);
        output_ = std::move(output.first);
        return {};
    }

    void wait(Nanoseconds until) {
        bool open = true;
        for (;;) {
            child_signal_.drain();
            if (open) open = drain(output_.get(), tail_);
            if (ended()) return;
            if (boottime() >= until) return kill(HookEnd::timed_out);
            std::array<pollfd, 2> watched{
                {{child_signal_.fd(), POLLIN, 0}, {open ? output_.get() : -1, POLLIN, 0}}};
            if (waiter_.wait(watched, until) == os::WaitEnd::cancelled) {
                return kill(HookEnd::cancelled);
            }
        }
    }

    bool ended() {
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
        const bool exited = WIFEXITED(status);
        result_.end = exited ? HookEnd::exited : HookEnd::signalled;
        result_.status = exited ? WEXITSTATUS(status) : WTERMSIG(status);
        return true;
    }

    void kill(HookEnd end) {
        ::kill(-pid_, SIGKILL);
        ::kill(pid_, SIGKILL);  // it may not have come as far as its own group
        pen_.kill();
        result_.end = end;
        // One that is stuck in the kernel is not waited for: it is reaped once it is free.
        os::PlainWaiter plain;
        const Nanoseconds until = boottime() + hook_kill_max;
        while (::waitpid(pid_, nullptr, WNOHANG) == 0 && boottime() < until) {
            pollfd signalled{child_signal_.fd(), POLLIN, 0};
            plain.wait({&signalled, 1}, until);
            child_signal_.drain();
        }
    }

    void take_refusal() {
        std::array<char, child_error_bytes_max> text{};
        const ssize_t got = ::read(refused_.get(), text.data(), text.size());
        if (got <= 0) return;
        result_.end = HookEnd::not_started;
        result_.output.assign(text.data(), static_cast<std::size_t>(got));
    }

    const HookOrder& order_;
    const HookPen& pen_;
    os::Waiter& waiter_;
    ChildSignal child_signal_;
    pid_t pid_ = -1;
    UniqueFd output_;
    UniqueFd refused_;  // says why nothing was executed
    OutputTail tail_;
    HookResult result_;
};

}  // namespace

SystemHooks::SystemHooks(Places places, Groups groups) : places_(std::move(places)) {
    if (groups == Groups::where_possible) {
        groups_ = os::CgroupRoot::find(places_.group, places_.cgroups);
    }
    if (groups_.version() == os::CgroupRoot::Version::none) os::become_reaper();
}

std::string SystemHooks::folder_of(const Hook& hook) const {
    return places_.state + "/" + hook.name;
}

std::string SystemHooks::pen_name(const Hook& hook, HookPhase phase) {
    return hook.name + "." + text_of(phase);
}

HookPen& SystemHooks::pen_of(const Hook& hook, HookPhase phase, HookPen::Found found) {
    const std::string name = pen_name(hook, phase);
    const HookPen::Name names{name, "STILLPOINT_STATE_DIR=" + folder_of(hook)};
    return pens_.try_emplace(name, groups_, names, found).first->second;
}

Status SystemHooks::begin(const Hook& hook) {
    end(hook);
    SP_ASSIGN(const os::User user, os::find_user(hook.pre.user));
    const std::string folder = folder_of(hook);
    std::error_code error;
    std::filesystem::create_directories(places_.state, error);
    if (error) return fail(os::os_error("create " + places_.state, error.value()));
    if (::mkdir(folder.c_str(), S_IRWXU) != 0 ||
        (user.uid != ::geteuid() && ::chown(folder.c_str(), user.uid, user.gid) != 0)) {
        return fail(os::os_error("create " + folder, errno));
    }
    return {};
}

HookResult SystemHooks::execute(const HookOrder& order, os::Waiter& waiter) {
    HookPen& pen = pen_of(order.hook, order.phase, HookPen::Found::leave);
    HookResult result = Run{order, pen, waiter}.go(folder_of(order.hook), places_.trust);
    if (result.succeeded()) pen.close();
    return result;
}

void SystemHooks::kill(const Hook& hook, HookPhase phase) {
    pen_of(hook, phase, HookPen::Found::adopt).kill();
}

bool SystemHooks::running(const Hook& hook, HookPhase phase) {
    return !pen_of(hook, phase, HookPen::Found::adopt).empty();
}

void SystemHooks::end(const Hook& hook) {
    for (const HookPhase phase : {HookPhase::abort, HookPhase::post, HookPhase::pre}) {
        kill(hook, phase);
        pens_.erase(pen_name(hook, phase));
        groups_.drop(pen_name(hook, phase));
    }
    std::error_code ignored;  // it is emptied again before the next pre
    std::filesystem::remove_all(folder_of(hook), ignored);
}

}  // namespace stillpoint::linux_guest
