#pragma once
#include <atomic>
#include <memory>

#include "base/result.hpp"
#include "env/fd.hpp"

namespace stillpoint::env {

/// A wish to stop, passed by value to everything that waits or loops.
/// Copies share one state. @threads any, but not in a signal handler
class CancelToken {
public:
    CancelToken();
    void cancel() noexcept;
    [[nodiscard]] bool cancelled() const noexcept;
    /// @return a token that is cancelled with this one, but can also be cancelled alone
    [[nodiscard]] CancelToken child() const;
    /// Fails with Errc::cancelled, id "job.cancelled", when the wish was made.
    [[nodiscard]] Status check() const;
    /// Readable (eventfd) once cancelled, for poll(2); -1 only if no descriptor could be had.
    [[nodiscard]] int poll_fd() const noexcept;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace stillpoint::env
