#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace stillpoint::windows_guest::os {

/// A thread that carries out orders one after another.
/// @threads any
class OrderThread {
public:
    struct Around {
        /// On the thread before anything else; what it returns is kept until the thread ends.
        std::function<std::shared_ptr<void>()> enter = [] { return nullptr; };
        std::function<void()> leave = [] {};  // on the thread, after the last order
    };
    explicit OrderThread(Around around);
    OrderThread(const OrderThread&) = delete;
    OrderThread& operator=(const OrderThread&) = delete;
    /// Stops and joins: waits for the order under way.
    ~OrderThread();
    void push(std::function<void()> order);
    /// Orders that were not begun are dropped.
    void stop() noexcept;

private:
    void run();
    Around around_;
    std::mutex lock_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> orders_;
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace stillpoint::windows_guest::os
