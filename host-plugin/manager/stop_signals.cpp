#include "manager/stop_signals.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

namespace stillpoint::manager {
namespace {

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): a signal handler's only way
int stop_fd = -1;  // an eventfd that is never read: what was wished stays wished

void raise_flag(int fd) {
    const std::uint64_t one = 1;
    // Failed: the counter is full, so the descriptor is readable anyhow.
    [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
}

void on_signal(int) {
    const int before = errno;
    raise_flag(stop_fd);
    errno = before;
}

}  // namespace

std::vector<int> stop_signals() {
    std::vector<int> signals{SIGTERM, SIGINT};
    struct sigaction hangup {};
    ::sigaction(SIGHUP, nullptr, &hangup);
    if (hangup.sa_handler != SIG_IGN) signals.push_back(SIGHUP);
    return signals;
}

bool catch_stop_signals() {
    stop_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd < 0) return false;
    struct sigaction action {};
    action.sa_handler = on_signal;
    for (const int signal : stop_signals()) ::sigaction(signal, &action, nullptr);
    return true;
}

OnStop::OnStop(std::function<void()> action)
    : action_(std::move(action)), ended_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (ended_fd_ >= 0) watcher_ = std::thread{[this] { watch(); }};
}

OnStop::~OnStop() {
    if (ended_fd_ < 0) return;
    raise_flag(ended_fd_);
    watcher_.join();
    ::close(ended_fd_);
}

void OnStop::watch() const {
    std::array<pollfd, 2> polls{pollfd{stop_fd, POLLIN, 0}, pollfd{ended_fd_, POLLIN, 0}};
    while (::poll(polls.data(), polls.size(), -1) < 0 && errno == EINTR) {
    }
    if (polls[0].revents != 0) action_();
}

}  // namespace stillpoint::manager
