#include "os/order_thread.hpp"

#include <utility>

namespace stillpoint::windows_guest::os {

OrderThread::OrderThread(Around around) : around_(std::move(around)), thread_([this] { run(); }) {}

OrderThread::~OrderThread() {
    stop();
    thread_.join();
}

void OrderThread::push(std::function<void()> order) {
    {
        const std::scoped_lock guard{lock_};
        orders_.push_back(std::move(order));
    }
    changed_.notify_one();
}

void OrderThread::stop() noexcept {
    {
        const std::scoped_lock guard{lock_};
        ending_ = true;
    }
    changed_.notify_one();
}

void OrderThread::run() {
    const std::shared_ptr<void> entered = around_.enter();
    for (;;) {
        std::unique_lock guard{lock_};
        changed_.wait(guard, [this] { return ending_ || !orders_.empty(); });
        if (ending_) break;
        const std::function<void()> order = std::move(orders_.front());
        orders_.pop_front();
        guard.unlock();
        order();
    }
    around_.leave();
}

}  // namespace stillpoint::windows_guest::os
