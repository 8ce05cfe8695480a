#pragma once
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "env/poll.hpp"
#include "env/queue.hpp"

namespace stillpoint::env {

/// Threads for system calls that may never return: files of a server that is gone, of a filesystem
/// that is frozen. Callers wait with a limit (I9); a call that was given up ends alone, or never.
/// The threads have a descriptor table of their own with nothing but 0, 1 and 2 in it: a killed
/// process closes its sockets and locks although one of them hangs in the kernel (ADR-0014).
/// @threads any
class BlockingCalls {
public:
    struct Options {
        unsigned threads = 8;
        /// What a call still gets once the wish to stop was made.
        Nanoseconds cancel_grace = std::chrono::seconds{5};
    };
    /// @param cancel shortens every wait from then on
    [[nodiscard]] static Result<std::unique_ptr<BlockingCalls>> create(const Options& options,
                                                                       const CancelToken& cancel);
    BlockingCalls(const BlockingCalls&) = delete;
    BlockingCalls& operator=(const BlockingCalls&) = delete;
    /// Ends the threads; one that hangs is left to the kernel.
    ~BlockingCalls();

    /// @param call owns all that it uses, because it may end after its caller gave up; it opens
    ///        descriptors of its own
    /// @return nullopt: given up, after `limit` or soon after a cancel
    template <class T>
    [[nodiscard]] std::optional<T> run(std::function<T()> call, Nanoseconds limit) {
        struct Answered : Waiting {
            std::optional<T> answer;
        };
        const auto cell = std::make_shared<Answered>();
        start([cell, call = std::move(call)] {
            T answer = call();
            const std::scoped_lock lock{cell->mutex};
            cell->answer = std::move(answer);
            cell->done = true;
            cell->changed.notify_one();
        });
        if (!wait(*cell, limit)) return std::nullopt;
        return std::move(cell->answer);
    }

private:
    static constexpr std::size_t calls_max = 1024;  // callers wait for answers, so a few at a time
    static constexpr std::chrono::seconds close_max{1};
    /// One caller: woken for its own answer alone, of which there are thousands in a second.
    struct Waiting {
        std::mutex mutex;  // guards what follows; taken after State::mutex
        std::condition_variable changed;
        bool done = false, cancelled = false;
    };
    struct State {
        BoundedQueue<std::function<void()>> calls{calls_max};
        std::mutex mutex;
        std::condition_variable changed;
        bool cancelled = false;
        unsigned alive = 0;          // threads
        std::set<Waiting*> waiting;  // those to be told of a cancel
    };
    BlockingCalls(const Options& options, CancelToken cancel, Doorbell bell);
    void start(std::function<void()> call);
    bool wait(Waiting& caller, Nanoseconds limit) const;
    bool await(Waiting& caller, Nanoseconds limit) const;
    void watch_cancel();

    Options options_;
    CancelToken cancel_;
    Doorbell bell_;
    std::shared_ptr<State> state_;
    std::vector<std::thread> threads_;
    std::jthread watcher_;  // last: uses all of the above
};

}  // namespace stillpoint::env
