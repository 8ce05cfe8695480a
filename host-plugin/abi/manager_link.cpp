#include "abi/manager_link.hpp"

#include <cstring>

namespace stillpoint::abi {
namespace {

/// A manager built against an older header gave a shorter struct: only what it covers is read.
sp_manager copy_of(const sp_manager& manager) {
    sp_manager copy{};
    std::memcpy(&copy, &manager, std::min<std::size_t>(manager.struct_size, sizeof copy));
    return copy;
}

}  // namespace

ManagerLink::ManagerLink(const sp_manager& manager)
    : manager_(copy_of(manager)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

ManagerLink::~ManagerLink() {
    drain();
}

void ManagerLink::log(route::Severity severity, std::string line) {
    push({.job = 0, .severity = static_cast<int>(severity), .text = std::move(line)});
}

void ManagerLink::event(std::uint64_t job, const serialization::ProgressEvent& event) {
    push({.job = job, .severity = 0, .text = to_json(serialization::to_value(event))});
}

void ManagerLink::push(Item item) {
    const std::scoped_lock lock{mutex_};
    if (item.job != 0 && items_.size() >= queued_max) return;
    items_.push_back(std::move(item));
    filled_.notify_one();
}

void ManagerLink::drain() {
    std::unique_lock lock{mutex_};
    emptied_.wait(lock, [&] { return items_.empty() && !delivering_; });
}

void ManagerLink::deliver(const Item& item) const {
    const sp_text text{item.text.data(), item.text.size()};
    if (item.job == 0) {
        if (manager_.log != nullptr) manager_.log(manager_.self, item.severity, text);
    } else if (manager_.event != nullptr) {
        manager_.event(manager_.self, item.job, text);
    }
}

void ManagerLink::run(const std::stop_token& stop) {
    std::unique_lock lock{mutex_};
    while (filled_.wait(lock, stop, [&] { return !items_.empty(); })) {
        const Item item = std::move(items_.front());
        items_.pop_front();
        delivering_ = true;
        lock.unlock();
        deliver(item);
        lock.lock();
        delivering_ = false;
        if (items_.empty()) emptied_.notify_all();
    }
}

}  // namespace stillpoint::abi
