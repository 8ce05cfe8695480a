#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace stillpoint::env {

/// A bounded queue between threads; closing wakes everybody.
/// @threads any number of producers and consumers
template <class T>
class BoundedQueue {
public:
    explicit BoundedQueue(std::size_t items_max) : items_max_(items_max) {}

    /// Waits for room. @return false when the queue was closed: the item was not taken
    bool push(T item) {
        std::unique_lock lock{mutex_};
        room_.wait(lock, [&] { return closed_ || items_.size() < items_max_; });
        if (closed_) return false;
        items_.push_back(std::move(item));
        filled_.notify_one();
        return true;
    }
    /// Waits for an item. @return nullopt when closed and drained
    std::optional<T> pop() {
        std::unique_lock lock{mutex_};
        filled_.wait(lock, [&] { return closed_ || !items_.empty(); });
        if (items_.empty()) return std::nullopt;
        std::optional<T> item{std::move(items_.front())};
        items_.pop_front();
        room_.notify_one();
        return item;
    }
    /// No more pushes; what is inside can still be popped.
    void close() {
        const std::scoped_lock lock{mutex_};
        closed_ = true;
        room_.notify_all();
        filled_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable room_, filled_;
    std::deque<T> items_;
    std::size_t items_max_;
    bool closed_ = false;
};

}  // namespace stillpoint::env
