#pragma once
#include <csignal>

namespace stillpoint::env {

/// While it lives, a write to a closed pipe or connection fails with EPIPE in this thread and in
/// those that it starts, whatever the process does about SIGPIPE: libraries write without
/// MSG_NOSIGNAL, and a program that has loaded us must not die of it. Programs that we start have
/// the signal's default again.
/// @threads ends in the thread that began it
/// @source signal(7), pthread_sigmask(3): a signal that a write raises is its thread's
class NoPipeSignal {
public:
    NoPipeSignal();
    /// Takes back what was raised meanwhile, then the thread is as it was.
    ~NoPipeSignal();
    NoPipeSignal(const NoPipeSignal&) = delete;
    NoPipeSignal& operator=(const NoPipeSignal&) = delete;

private:
    sigset_t pipe_{}, before_{};
    bool was_pending_ = false;
};

}  // namespace stillpoint::env
