#pragma once
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "capture/capture.hpp"
#include "env/poll.hpp"
#include "env/queue.hpp"

namespace stillpoint::capture {

/// One request's memory and fate. Belongs to exactly one of: the pool, libnbd, a worker.
struct Buffer {
    Bytes bytes;  // grown at first use: a small disk costs little
    ByteOffset at;
    std::size_t length = 0;
    std::size_t filled = 0;  // bytes that the reply's chunks brought, data or hole
    std::size_t connection = 0;
    int error = 0;                              // of the reply
    std::vector<Buffer*>* completed = nullptr;  // where libnbd's callback puts it
};

/// A fixed number of buffers: the bound of all memory in a read, and what makes a slow sink slow
/// the reader down instead of filling memory.
/// @threads any
class BufferPool {
public:
    explicit BufferPool(std::size_t count) : buffers_(count) {
        for (Buffer& buffer : buffers_) free_.push_back(&buffer);
    }
    [[nodiscard]] std::size_t count() const { return buffers_.size(); }
    /// @return null when all are in use
    [[nodiscard]] Buffer* take();
    void give_back(Buffer* buffer);

private:
    std::mutex mutex_;
    std::vector<Buffer> buffers_;
    std::vector<Buffer*> free_;
};

/// The sink's side of a read: a bounded queue and the threads that empty it into the sink.
/// The first failure of the sink is kept; what follows it is dropped unseen.
/// @threads one at a time; the bell is rung from the workers
class Delivery {
public:
    struct Ends {
        BufferPool& pool;           // where a worker returns its buffer
        const env::Doorbell& bell;  // rung for every returned buffer and for the first failure
    };
    Delivery(unsigned workers, const NbdSource::Sink& sink, const Ends& ends);
    ~Delivery() { end(Rest::drop); }
    Delivery(const Delivery&) = delete;
    Delivery& operator=(const Delivery&) = delete;

    /// Never blocks: the queue holds the whole pool.
    void deliver(Buffer* buffer);
    [[nodiscard]] bool failed() const { return stopped_.load(); }
    enum class Rest { deliver, drop };
    /// Waits for the workers' end. @return the sink's first failure
    Status end(Rest rest);

private:
    void work();
    const NbdSource::Sink& sink_;
    Ends ends_;
    env::BoundedQueue<Buffer*> queue_;
    std::atomic<bool> stopped_{false};
    std::mutex mutex_;
    std::optional<Error> failure_;
    std::vector<std::jthread> threads_;
};

}  // namespace stillpoint::capture
