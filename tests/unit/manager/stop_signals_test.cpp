#include "manager/stop_signals.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <future>

using namespace stillpoint::manager;

namespace {

/// What a process with its own signals returns.
template <typename Work>
int in_child(const Work& work) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(work());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// @return 0 once the action was called
int await_action() {
    std::promise<void> called;
    const OnStop on_stop{[&] { called.set_value(); }};
    called.get_future().wait();
    return 0;
}

TEST_CASE("a signal calls the action, whether it comes before or while somebody waits") {
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
        CAPTURE(signal);
        CHECK(in_child([&] {
                  if (!catch_stop_signals()) return 1;
                  ::raise(signal);
                  return await_action() + await_action();
              }) == 0);
        CHECK(in_child([&] {
                  if (!catch_stop_signals()) return 1;
                  std::promise<void> called;
                  const OnStop on_stop{[&] { called.set_value(); }};
                  ::kill(::getpid(), signal);
                  called.get_future().wait();
                  return 0;
              }) == 0);
    }
}

TEST_CASE("without a signal the action is not called") {
    CHECK(in_child([] {
              if (!catch_stop_signals()) return 1;
              int called = 0;
              {
                  const OnStop on_stop{[&] { ++called; }};
              }
              return called;
          }) == 0);
}

TEST_CASE("a hangup that nohup ignores stays ignored") {
    CHECK(in_child([] {
              std::signal(SIGHUP, SIG_IGN);
              if (!catch_stop_signals()) return 1;
              const auto watched = stop_signals();
              int called = 0;
              {
                  const OnStop on_stop{[&] { ++called; }};
                  ::raise(SIGHUP);
              }
              return called + static_cast<int>(std::count(watched.begin(), watched.end(), SIGHUP));
          }) == 0);
}

}  // namespace
