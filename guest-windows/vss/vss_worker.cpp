#include "vss/vss_worker.hpp"

#include <utility>

namespace stillpoint::windows_guest {

VssWorker::VssWorker(Parts parts)
    : parts_(std::move(parts)),
      backup_(parts_.open, parts_.excluded_writers),
      thread_([this] { run(); }) {}

VssWorker::~VssWorker() {
    {
        const std::scoped_lock guard{lock_};
        ending_ = true;
    }
    changed_.notify_one();
    backup_.cancel();
    thread_.join();
}

void VssWorker::prepare(PrepareOrder order) {
    backup_.rearm();
    push([this, order = std::move(order)] { return WorkerReport{backup_.prepare(order)}; });
}

void VssWorker::snapshot() {
    push([this] { return WorkerReport{backup_.snapshot()}; });
}

void VssWorker::conclude(VssBackup::Outcome outcome) {
    push([this, outcome] { return WorkerReport{backup_.conclude(outcome)}; });
}

void VssWorker::push(Order order) {
    {
        const std::scoped_lock guard{lock_};
        orders_.push_back(std::move(order));
    }
    changed_.notify_one();
}

void VssWorker::run() {
    const std::shared_ptr<void> apartment = parts_.enter_thread();
    for (;;) {
        std::unique_lock guard{lock_};
        changed_.wait(guard, [this] { return ending_ || !orders_.empty(); });
        if (ending_) break;
        const Order order = std::move(orders_.front());
        orders_.pop_front();
        guard.unlock();
        parts_.deliver(order());
    }
    (void)backup_.conclude(VssBackup::Outcome::failure);
}

}  // namespace stillpoint::windows_guest
