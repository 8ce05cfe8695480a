#include "hooks/hook_runner.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <optional>

#include "os/fd.hpp"
#include "os/process.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::boottime;
using os::Nanoseconds;
using os::UniqueFd;

constexpr std::size_t job_id_bytes_max = 64;
constexpr std::size_t note_bytes_max = 200;
constexpr Nanoseconds kill_max = std::chrono::seconds{1};
constexpr const char* hook_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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

/// Keeps the end of what a hook prints.
class Tail {
public:
    void add(std::string_view piece) {
        text_ += piece;
        // Cut in large steps: moving the rest for every small piece would be quadratic.
        if (text_.size() > 2 * hook_output_bytes_max) cut();
    }
    [[nodiscard]] std::string take() {
        cut();
        return std::move(text_);
    }

private:
    void cut() {
        if (text_.size() > hook_output_bytes_max) {
            text_.erase(0, text_.size() - hook_output_bytes_max);
        }
    }
    std::string text_;
};

/// @return true: there may be more later; false: end of file
bool drain(int fd, Tail& tail) {
    std::array<char, 16384> piece{};
    for (;;) {
        const ssize_t got = ::read(fd, piece.data(), piece.size());
        if (got > 0) tail.add({piece.data(), static_cast<std::size_t>(got)});
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got < 0 && errno == EAGAIN;
    }
}

bool plain_id(const std::string& id) {
    return !id.empty() && id.size() <= job_id_bytes_max && std::ranges::all_of(id, [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-';
    });
}

std::vector<std::string> environment_of(const HookContext& context) {
    std::vector<std::string> environment{hook_path,
                                         std::string("STILLPOINT_PHASE=") + text_of(context.phase)};
    // Text from the host reaches a program of root's: only what cannot mean anything else.
    if (plain_id(context.job_id)) environment.push_back("STILLPOINT_JOB=" + context.job_id);
    if (context.phase == HookPhase::post) {
        environment.push_back(std::string("STILLPOINT_RESULT=") +
                              (context.success ? "success" : "failure"));
    }
    return environment;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

/// The child's side: never returns. The errno of a failed exec goes through `error_fd`.
[[noreturn]] void become(std::vector<std::string> arguments, std::vector<std::string> environment,
                         int output_fd, int error_fd) {
    ::setsid();
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(null, STDIN_FILENO);
    ::dup2(output_fd, STDOUT_FILENO);
    ::dup2(output_fd, STDERR_FILENO);
    const std::array keep{error_fd};
    os::close_all_except(keep);
    int error = ::chdir("/") == 0 ? 0 : errno;
    if (error == 0) {
        ::execve(arguments.front().c_str(), pointers(arguments).data(),
                 pointers(environment).data());
        error = errno;
    }
    [[maybe_unused]] const ssize_t told = ::write(error_fd, &error, sizeof error);
    ::_exit(127);
}

class Run {
public:
    Run(const HookCommand& hook, os::Waiter& waiter) : hook_(hook), waiter_(waiter) {}

    HookResult go(const HookContext& context) {
        const Nanoseconds begin = boottime();
        if (Status started = start(context); !started) {
            result_.output = started.error().text;
            return std::move(result_);
        }
        wait(begin + hook_.timeout);
        drain(output_.get(), tail_);
        result_.output = tail_.take();
        int refused = 0;
        if (::read(refused_.get(), &refused, sizeof refused) == ssize_t{sizeof refused}) {
            result_.end = HookEnd::not_started;
            result_.output = os::os_error("execute " + hook_.command, refused).text;
        }
        result_.duration = boottime() - begin;
        return std::move(result_);
    }

private:
    Status start(const HookContext& context) {
        SP_ASSIGN(os::FdPair output, os::make_pipe());
        SP_ASSIGN(os::FdPair error, os::make_pipe());
        ::fcntl(output.first.get(), F_SETFL, O_NONBLOCK);
        ::fcntl(error.first.get(), F_SETFL, O_NONBLOCK);
        std::vector<std::string> arguments{hook_.command};
        arguments.insert(arguments.end(), hook_.arguments.begin(), hook_.arguments.end());
        pid_ = ::fork();
        if (pid_ < 0) return fail(os::os_error("start " + hook_.command, errno));
        if (pid_ == 0) {
            become(std::move(arguments), environment_of(context), output.second.get(),
                   error.second.get());
        }
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
            if (boottime() >= until) return kill_group(HookEnd::timed_out);
            std::array<pollfd, 2> watched{
                {{child_signal_.fd(), POLLIN, 0}, {open ? output_.get() : -1, POLLIN, 0}}};
            if (waiter_.wait(watched, until) == os::WaitEnd::cancelled) {
                return kill_group(HookEnd::cancelled);
            }
        }
    }

    bool ended() {
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
        const bool exited = WIFEXITED(status);
        result_.end = exited ? HookEnd::exited : HookEnd::signalled;
        result_.status = exited ? WEXITSTATUS(status) : WTERMSIG(status);
        // What a failed hook left behind would work against the post hook.
        if (!result_.succeeded()) ::kill(-pid_, SIGKILL);
        return true;
    }

    void kill_group(HookEnd end) {
        ::kill(-pid_, SIGKILL);
        ::kill(pid_, SIGKILL);  // it may not have come as far as its own group
        result_.end = end;
        // One that is stuck in the kernel is not waited for: it is reaped once it is free.
        os::PlainWaiter plain;
        const Nanoseconds until = boottime() + kill_max;
        while (::waitpid(pid_, nullptr, WNOHANG) == 0 && boottime() < until) {
            pollfd signalled{child_signal_.fd(), POLLIN, 0};
            plain.wait({&signalled, 1}, until);
            child_signal_.drain();
        }
    }

    const HookCommand& hook_;
    os::Waiter& waiter_;
    ChildSignal child_signal_;
    pid_t pid_ = -1;
    UniqueFd output_;
    UniqueFd refused_;  // gives the errno of a failed exec
    Tail tail_;
    HookResult result_;
};

std::string last_line(std::string_view text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    text.remove_prefix(text.rfind('\n') + 1);
    return std::string(text.substr(0, note_bytes_max));
}

}  // namespace

std::string HookResult::note() const {
    std::string how;
    switch (end) {
        case HookEnd::exited:
            how = "exit code " + std::to_string(status);
            break;
        case HookEnd::signalled:
            how = "killed by signal " + std::to_string(status);
            break;
        case HookEnd::timed_out:
            how = "killed at its timeout";
            break;
        case HookEnd::cancelled:
            how = "killed because the backup was cancelled";
            break;
        case HookEnd::not_started:
            how = "not started";
            break;
    }
    const std::string last = last_line(output);
    return succeeded() || last.empty() ? how : how + ": " + last;
}

HookResult run_hook(const HookCommand& hook, const HookContext& context, os::Waiter& waiter) {
    return Run{hook, waiter}.go(context);
}

serialization::Evidence hook_evidence(const HookCommand& hook, const HookResult& result) {
    serialization::Evidence evidence;
    evidence.kind = serialization::EvidenceKind::hook;
    evidence.name = hook.command;
    evidence.quiesced = result.succeeded();
    evidence.duration_ns = result.duration.count();
    if (!result.succeeded()) evidence.note = result.note();
    return evidence;
}

}  // namespace stillpoint::linux_guest
