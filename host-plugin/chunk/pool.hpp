#pragma once
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace stillpoint::chunk {

/// Contexts of a C library that serve one call at a time: borrowed, reused, given back. Holds as
/// many as calls ever ran at once.
/// @threads any, concurrently
template <class T, class Deleter>
class ContextPool {
public:
    using Pointer = std::unique_ptr<T, Deleter>;

    /// Gives the context back when it goes.
    class Loan {
    public:
        Loan(ContextPool& pool, Pointer context) : pool_(pool), context_(std::move(context)) {}
        Loan(const Loan&) = delete;
        Loan& operator=(const Loan&) = delete;
        ~Loan() { pool_.give_back(std::move(context_)); }
        [[nodiscard]] T* get() const { return context_.get(); }

    private:
        ContextPool& pool_;
        Pointer context_;
    };

    /// @param make called, outside the lock, when no context is free
    template <class Make>
    Loan borrow(Make&& make) {
        {
            const std::scoped_lock lock{mutex_};
            if (!free_.empty()) {
                Pointer context = std::move(free_.back());
                free_.pop_back();
                return Loan{*this, std::move(context)};
            }
        }
        return Loan{*this, Pointer{std::forward<Make>(make)()}};
    }

private:
    void give_back(Pointer context) {
        const std::scoped_lock lock{mutex_};
        free_.push_back(std::move(context));
    }
    std::mutex mutex_;
    std::vector<Pointer> free_;
};

}  // namespace stillpoint::chunk
