#include "env/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "base/check.hpp"
#include "env/poll.hpp"

namespace stillpoint::env {
namespace {

constexpr std::size_t output_bytes_max = 1u << 20;

struct Redirects {
    int out = -1;
    int errors = -1;
    pid_t starter = 0;
};

std::vector<char*> argument_pointers(const std::vector<std::string>& arguments) {
    std::vector<char*> pointers;
    pointers.reserve(arguments.size() + 1);
    for (const std::string& argument : arguments)
        pointers.push_back(const_cast<char*>(argument.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(const SpawnOptions& options, const Redirects& redirects, int report,
                         char* const* arguments) {
    if (options.new_session) ::setsid();
    if (options.ends_with_starter) {
        ::signal(SIGTERM, SIG_DFL);
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (::getppid() != redirects.starter) ::_exit(127);  // it ended before we asked for that
    }
    if (options.output_fd >= 0) {
        ::dup2(options.output_fd, 1);
        ::dup2(options.output_fd, 2);
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    // What we ignore, exec would hand down: programs rely on dying from a broken pipe.
    ::signal(SIGPIPE, SIG_DFL);
    if (redirects.out >= 0) {
        const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ::dup2(null, 0);
        ::dup2(redirects.out, 1);
        ::dup2(redirects.errors, 2);
    }
    if (options.inherit_fd >= 0) ::fcntl(options.inherit_fd, F_SETFD, 0);
    ::execvp(arguments[0], arguments);
    const int error = errno;
    [[maybe_unused]] const auto written = ::write(report, &error, sizeof error);
    ::_exit(127);
}

// @return exit code; the process has ended or was killed
int reap(pid_t pid) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Result<pid_t> start(const SpawnOptions& options, const Redirects& redirects) {
    int report[2] = {-1, -1};
    if (::pipe2(report, O_CLOEXEC) != 0) return fail(os_error("create pipe", errno));
    UniqueFd read_end{report[0]};
    UniqueFd write_end{report[1]};
    const auto arguments = argument_pointers(options.arguments);
    const Redirects all{redirects.out, redirects.errors, ::getpid()};
    const pid_t pid = ::fork();
    if (pid < 0) return fail(os_error("start " + options.arguments[0], errno));
    if (pid == 0) become(options, all, write_end.get(), arguments.data());
    write_end.reset();
    int error = 0;
    ssize_t n = 0;
    while ((n = ::read(read_end.get(), &error, sizeof error)) < 0 && errno == EINTR) {
    }
    if (n != sizeof error) return pid;  // the pipe closed by exec: it runs
    reap(pid);
    return fail(os_error("start " + options.arguments[0], error));
}

struct Pipe {
    UniqueFd read, write;
};

Result<Pipe> make_pipe() {
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail(os_error("create pipe", errno));
    return Pipe{UniqueFd{ends[0]}, UniqueFd{ends[1]}};
}

// @return false at the end of the stream
bool drain(UniqueFd& fd, std::string& into) {
    std::array<char, 4096> buffer{};
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) return true;
    if (n <= 0) {
        fd.reset();
        return false;
    }
    const auto count = static_cast<std::size_t>(n);
    into.append(buffer.data(),
                std::min(count, output_bytes_max - std::min(output_bytes_max, into.size())));
    return true;
}

}  // namespace

Result<Child> Child::spawn(const SpawnOptions& options) {
    SP_ASSIGN(const pid_t pid, start(options, {}));
    return Child{pid};
}

Child::~Child() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    reap(pid_);
}

void Child::kill(int signal) const {
    if (pid_ > 0) ::kill(pid_, signal);
}

Result<int> Child::wait(const Deadline& deadline) {
    return wait(deadline, CancelToken{});
}

Result<int> Child::wait(const Deadline& deadline, const CancelToken& cancel) {
    SP_ASSIGN(const ProcessWatch process, ProcessWatch::open(pid_));
    std::array polls{pollfd{process.poll_fd(), POLLIN, 0}, pollfd{cancel.poll_fd(), POLLIN, 0}};
    SP_ASSIGN(const bool ready, wait_any(polls, deadline));
    if (polls[0].revents != 0) return reap(std::exchange(pid_, -1));
    SP_TRY(cancel.check());
    SP_CHECK(!ready);
    return fail(Errc::timeout, "process.timeout",
                "process " + std::to_string(pid_) + " did not end in time");
}

Result<ProcessWatch> ProcessWatch::open(pid_t pid) {
    UniqueFd fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    if (!fd.valid()) {
        const int error = errno == ESRCH ? ENOENT : errno;
        return fail(os_error("watch process " + std::to_string(pid), error));
    }
    return ProcessWatch{std::move(fd)};
}

namespace {

// The command's name, in parentheses, may hold anything: fields are counted from its end.
// @return the fields from the state, field 3, on
Result<std::istringstream> stat_fields(const Path& file) {
    constexpr std::size_t stat_bytes_max = 4096;
    SP_ASSIGN(const Bytes bytes, read_file(file, stat_bytes_max));
    const std::string text{as_text(bytes)};
    return std::istringstream{text.substr(std::min(text.rfind(')') + 1, text.size()))};
}

}  // namespace

Result<ThreadLook> look_at_thread(pid_t pid, pid_t thread) {
    const Path folder = "/proc/" + std::to_string(pid) + "/task/" + std::to_string(thread);
    SP_ASSIGN(auto fields, stat_fields(folder / "stat"));
    ThreadLook look;
    fields >> look.state;
    constexpr std::size_t schedstat_bytes_max = 128;
    const auto schedstat = read_file(folder / "schedstat", schedstat_bytes_max);
    if (!schedstat) return look;  // a kernel without these counts: the state must do
    std::istringstream counts{std::string{as_text(*schedstat)}};
    std::uint64_t ran_ns = 0, waited_ns = 0;
    counts >> ran_ns >> waited_ns >> look.turns;
    return look;
}

Result<std::uint64_t> started_at(pid_t pid) {
    constexpr int fields_between = 19;  // from the state, field 3, to the start time, field 22
    SP_ASSIGN(auto fields, stat_fields("/proc/" + std::to_string(pid) + "/stat"));
    std::string skipped;
    for (int i = 0; i < fields_between; ++i) fields >> skipped;
    std::uint64_t started = 0;
    if (fields >> started) return started;
    return fail(Errc::not_found, "process.gone", "process " + std::to_string(pid) + " is gone");
}

Result<ProcessWatch> ProcessWatch::open(pid_t pid, std::uint64_t started) {
    SP_ASSIGN(ProcessWatch watch, open(pid));
    // Asked after the number was pinned: a later process of this number cannot answer.
    SP_ASSIGN(const std::uint64_t began, started_at(pid));
    if (began == started) return watch;
    return fail(Errc::not_found, "process.gone",
                "process " + std::to_string(pid) + " is another one by now");
}

void ProcessWatch::kill(int signal) const {
    // A failure means that it is gone, which is what the caller wants.
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0);
}

bool ProcessWatch::ended(const Deadline& deadline) const {
    std::array polls{pollfd{pidfd_.get(), POLLIN, 0}};
    return wait_any(polls, deadline).value_or(false);
}

Result<ProcessOutput> run_process(const std::vector<std::string>& arguments,
                                  const Deadline& deadline, const CancelToken& cancel) {
    SP_ASSIGN(Pipe out, make_pipe());
    SP_ASSIGN(Pipe errors, make_pipe());
    SpawnOptions options;
    options.arguments = arguments;
    // From here on every return kills and reaps it, unless it was waited for.
    SP_ASSIGN(const pid_t pid, start(options, {out.write.get(), errors.write.get(), 0}));
    Child child = Child::adopt(pid);
    out.write.reset();
    errors.write.reset();
    ProcessOutput result;
    while (out.read.valid() || errors.read.valid()) {
        std::array polls{pollfd{out.read.get(), POLLIN, 0}, pollfd{errors.read.get(), POLLIN, 0},
                         pollfd{cancel.poll_fd(), POLLIN, 0}};
        SP_ASSIGN(const bool ready, wait_any(polls, deadline));
        SP_TRY(cancel.check());
        if (!ready) {
            return fail(Errc::timeout, "process.timeout", arguments[0] + " did not end in time");
        }
        if (polls[0].revents != 0) drain(out.read, result.out);
        if (polls[1].revents != 0) drain(errors.read, result.errors);
    }
    // It may have closed its output and still run.
    SP_ASSIGN(result.exit_code, child.wait(deadline, cancel));
    return result;
}

}  // namespace stillpoint::env
