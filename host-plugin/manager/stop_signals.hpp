#pragma once
#include <functional>
#include <thread>
#include <vector>

/// A person's or a service manager's wish to stop, as an event that a thread waits for.
namespace stillpoint::manager {

/// The stop signals of this process: SIGTERM, SIGINT, and SIGHUP unless it is ignored, as under
/// nohup(1).
[[nodiscard]] std::vector<int> stop_signals();

/// From here on these signals do not end the process, but are remembered for OnStop; a child of
/// fork() has the handlers and what was remembered, too. Call once, before any thread exists.
/// @return false when there are no descriptors left: the signals keep their meaning
[[nodiscard]] bool catch_stop_signals();

/// Calls an action on another thread as soon as a stop signal comes, once; at once when one came
/// before. It never does without catch_stop_signals(), nor when there are no descriptors left.
class OnStop {
public:
    explicit OnStop(std::function<void()> action);
    OnStop(const OnStop&) = delete;
    OnStop& operator=(const OnStop&) = delete;
    /// Waits for the action of a signal that has come; later ones have none.
    ~OnStop();

private:
    void watch() const;

    std::function<void()> action_;
    int ended_fd_;
    std::thread watcher_;
};

}  // namespace stillpoint::manager
