#include "env/no_pipe_signal.hpp"

#include <pthread.h>

#include <ctime>

namespace stillpoint::env {

NoPipeSignal::NoPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
}

NoPipeSignal::~NoPipeSignal() {
    constexpr timespec at_once{};
    if (!was_pending_) (void)sigtimedwait(&pipe_, nullptr, &at_once);  // none: fine
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace stillpoint::env
