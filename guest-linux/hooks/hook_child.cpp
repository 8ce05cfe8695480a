#include "hooks/hook_child.hpp"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "hooks/hook_environment.hpp"
#include "os/process.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::UniqueFd;

constexpr const char* hook_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::vector<std::string> environment_of(const HookOrder& order, const std::string& state_folder) {
    std::vector<std::string> environment{hook_path};
    for (const auto& [name, value] : hook_environment(order, state_folder)) {
        if (name == "PATH") environment.front() = "PATH=" + value;
        if (name != "PATH") environment.push_back(name + "=" + value);
    }
    return environment;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

/// @return errno
int become_user(const os::User& user) {
    if (user.uid == ::geteuid()) return 0;
    if (::setgroups(user.groups.size(), user.groups.data()) != 0) return errno;
    if (::setresgid(user.gid, user.gid, user.gid) != 0) return errno;
    return ::setresuid(user.uid, user.uid, user.uid) == 0 ? 0 : errno;
}

/// What the agent has set for itself and a hook must not inherit.
void reset_attributes() {
    ::setsid();
    ::umask(S_IWGRP | S_IWOTH);
    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const UniqueFd score{::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)};
    [[maybe_unused]] const ssize_t done = ::write(score.get(), "0", 1);
}

void take_streams(int output_fd) {
    const UniqueFd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    ::dup2(null.get(), STDIN_FILENO);
    ::dup2(output_fd, STDOUT_FILENO);
    ::dup2(output_fd, STDERR_FILENO);
}

bool is_script(int fd) {
    std::array<char, 2> begin{};
    return ::pread(fd, begin.data(), begin.size(), 0) == 2 && begin[0] == '#' && begin[1] == '!';
}

Status failed(const std::string& doing, int error) {
    return fail(os::os_error(doing, error));
}

Status prepare(const HookOrder& order, const ChildParts& parts) {
    if (const int error = parts.pen.join(); error != 0) {
        return failed("enter the hook's control group", error);
    }
    reset_attributes();
    take_streams(parts.output.get());
    if (order.commit) SP_TRY(order.commit());
    std::vector<int> keep = parts.keep;
    keep.insert(keep.end(), {parts.error.get(), parts.program.get()});
    os::close_all_except(keep);
    if (::chdir("/") != 0) return failed("enter /", errno);
    const int error = become_user(parts.user);
    return error == 0 ? Status{} : failed("become user " + order.command.user, error);
}

Status execute(const HookOrder& order, const ChildParts& parts) {
    SP_TRY(prepare(order, parts));
    std::vector<std::string> arguments{order.command.command};
    arguments.insert(arguments.end(), order.command.arguments.begin(),
                     order.command.arguments.end());
    std::vector<std::string> environment = environment_of(order, parts.state_folder);
    // The descriptor that was judged, by a path that is always there: /dev/fd, which fexecve
    // needs for scripts, is made by udev alone. The interpreter opens it once more by that path,
    // so for a script it must outlive the exec.
    const int program = parts.program.get();
    if (is_script(program)) ::fcntl(program, F_SETFD, 0);
    const std::string path = "/proc/self/fd/" + std::to_string(program);
    ::execve(path.c_str(), pointers(arguments).data(), pointers(environment).data());
    return failed("execute " + order.command.command, errno);
}

}  // namespace

void become_hook(const HookOrder& order, const ChildParts& parts) {
    const Status refused = execute(order, parts);
    const std::string text = refused.error().text.substr(0, child_error_bytes_max);
    [[maybe_unused]] const ssize_t told = ::write(parts.error.get(), text.data(), text.size());
    constexpr int not_executed = 127;
    ::_exit(not_executed);
}

}  // namespace stillpoint::linux_guest
