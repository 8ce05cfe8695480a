#include "hooks/hook_runner.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "os/fd.hpp"
#include "os/process.hpp"
#include "os/users.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::boottime;
using os::Nanoseconds;
using os::UniqueFd;

constexpr std::size_t job_id_bytes_max = 64;
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

std::vector<std::string> environment_of(const HookExecutor::Order& order,
                                        const std::string& state_folder) {
    std::vector<std::string> environment{
        hook_path, std::string("STILLPOINT_PHASE=") + text_of(order.phase),
        "STILLPOINT_HOOK_DIR=" + order.hook.folder, "STILLPOINT_STATE_DIR=" + state_folder};
    // Text from the host reaches a program of root's: only what cannot mean anything else.
    if (plain_id(order.job_id)) environment.push_back("STILLPOINT_JOB=" + order.job_id);
    if (!order.result.empty()) environment.push_back("STILLPOINT_RESULT=" + order.result);
    for (const auto& [name, value] : order.hook.environment) {
        if (name == "PATH") environment.front() = "PATH=" + value;
        if (name != "PATH") environment.push_back(name + "=" + value);
    }
    return environment;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

/// The ends that the child writes to.
struct Pipes {
    UniqueFd output;
    UniqueFd error;
};

/// @return errno
int become_user(const os::User& user) {
    if (user.uid == ::geteuid()) return 0;
    if (::setgroups(user.groups.size(), user.groups.data()) != 0) return errno;
    if (::setresgid(user.gid, user.gid, user.gid) != 0) return errno;
    return ::setresuid(user.uid, user.uid, user.uid) == 0 ? 0 : errno;
}

/// The child's side: never returns. The errno of a failed exec goes through `error_fd`.
[[noreturn]] void become(std::vector<std::string> arguments, std::vector<std::string> environment,
                         const os::User& user, const Pipes& pipes) {
    ::setsid();
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(null, STDIN_FILENO);
    ::dup2(pipes.output.get(), STDOUT_FILENO);
    ::dup2(pipes.output.get(), STDERR_FILENO);
    const std::array keep{pipes.error.get()};
    os::close_all_except(keep);
    int error = ::chdir("/") == 0 ? 0 : errno;
    if (error == 0) error = become_user(user);
    if (error == 0) {
        ::execve(arguments.front().c_str(), pointers(arguments).data(),
                 pointers(environment).data());
        error = errno;
    }
    [[maybe_unused]] const ssize_t told = ::write(pipes.error.get(), &error, sizeof error);
    ::_exit(127);
}

class Run {
public:
    Run(const HookExecutor::Order& order, os::Waiter& waiter) : order_(order), waiter_(waiter) {}

    HookResult go(const std::string& state_folder) {
        const Nanoseconds begin = boottime();
        if (Status started = start(state_folder); !started) {
            result_.output = started.error().text;
            return std::move(result_);
        }
        wait(begin + order_.timeout);
        drain(output_.get(), tail_);
        result_.output = tail_.take();
        int refused = 0;
        if (::read(refused_.get(), &refused, sizeof refused) == ssize_t{sizeof refused}) {
            result_.end = HookEnd::not_started;
            result_.output = os::os_error("execute " + order_.command.command, refused).text;
        }
        result_.duration = boottime() - begin;
        return std::move(result_);
    }

private:
    Status start(const std::string& state_folder) {
        SP_ASSIGN(const os::User user, os::find_user(order_.command.user));
        SP_ASSIGN(os::FdPair output, os::make_pipe());
        SP_ASSIGN(os::FdPair error, os::make_pipe());
        ::fcntl(output.first.get(), F_SETFL, O_NONBLOCK);
        ::fcntl(error.first.get(), F_SETFL, O_NONBLOCK);
        std::vector<std::string> arguments{order_.command.command};
        arguments.insert(arguments.end(), order_.command.arguments.begin(),
                         order_.command.arguments.end());
        const Pipes pipes{std::move(output.second), std::move(error.second)};
        pid_ = ::fork();
        if (pid_ < 0) return fail(os::os_error("start " + order_.command.command, errno));
        if (pid_ == 0) {
            become(std::move(arguments), environment_of(order_, state_folder), user, pipes);
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

    const HookExecutor::Order& order_;
    os::Waiter& waiter_;
    ChildSignal child_signal_;
    pid_t pid_ = -1;
    UniqueFd output_;
    UniqueFd refused_;  // gives the errno of a failed exec
    Tail tail_;
    HookResult result_;
};

}  // namespace

std::string SystemHooks::folder_of(const Hook& hook) const {
    return state_folder_ + "/" + hook.name;
}

Status SystemHooks::begin(const Hook& hook) {
    const std::string folder = folder_of(hook);
    std::error_code error;
    std::filesystem::remove_all(folder, error);
    if (!error) std::filesystem::create_directories(state_folder_, error);
    if (error) return fail(os::os_error("create " + state_folder_, error.value()));
    SP_ASSIGN(const os::User user, os::find_user(hook.pre.user));
    if (::mkdir(folder.c_str(), S_IRWXU) != 0 ||
        (user.uid != ::geteuid() && ::chown(folder.c_str(), user.uid, user.gid) != 0)) {
        return fail(os::os_error("create " + folder, errno));
    }
    return {};
}

HookResult SystemHooks::execute(const Order& order, os::Waiter& waiter) {
    return Run{order, waiter}.go(folder_of(order.hook));
}

void SystemHooks::end(const Hook& hook) {
    std::error_code ignored;  // it is emptied again before the next pre
    std::filesystem::remove_all(folder_of(hook), ignored);
}

}  // namespace stillpoint::linux_guest
