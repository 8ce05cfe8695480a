#include "capture/delivery.hpp"

#include "base/check.hpp"

namespace stillpoint::capture {

Buffer* BufferPool::take() {
    const std::scoped_lock lock{mutex_};
    if (free_.empty()) return nullptr;
    Buffer* buffer = free_.back();
    free_.pop_back();
    return buffer;
}

void BufferPool::give_back(Buffer* buffer) {
    const std::scoped_lock lock{mutex_};
    free_.push_back(buffer);
}

Delivery::Delivery(unsigned workers, const NbdSource::Sink& sink, const Ends& ends)
    : sink_(sink), ends_(ends), queue_(ends.pool.count()) {
    for (unsigned n = 0; n < workers; ++n) threads_.emplace_back([this] { work(); });
}

void Delivery::deliver(Buffer* buffer) {
    const bool taken = queue_.push(buffer);
    SP_CHECK(taken);  // nobody delivers after end()
}

void Delivery::work() {
    while (const auto next = queue_.pop()) {
        Buffer* buffer = *next;
        if (!stopped_.load()) {
            Status status = sink_(buffer->at, ByteView{buffer->bytes}.first(buffer->length));
            if (!status) {
                const std::scoped_lock lock{mutex_};
                if (!failure_) failure_ = std::move(status).error();
                stopped_.store(true);
            }
        }
        ends_.pool.give_back(buffer);
        ends_.bell.ring();
    }
}

Status Delivery::end(Rest rest) {
    if (rest == Rest::drop) stopped_.store(true);
    queue_.close();
    threads_.clear();  // joins
    const std::scoped_lock lock{mutex_};
    if (failure_) return fail(*failure_);
    return {};
}

}  // namespace stillpoint::capture
