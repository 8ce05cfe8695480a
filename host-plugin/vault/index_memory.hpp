#pragma once
#include <atomic>

#include "vault/index_limits.hpp"
#include "vault/page_cache.hpp"

namespace stillpoint::vault {

/// The memory that all segments of one open vault share.
/// @threads any, concurrently
class IndexMemory {
public:
    explicit IndexMemory(const IndexLimits& limits)
        : pages(limits.page_bytes_max), filter_bytes_left_(limits.filter_bytes_max) {}

    /// False: there is no room for a filter of that size. What was taken must be given back.
    [[nodiscard]] bool take_filter(std::size_t bytes) {
        std::size_t left = filter_bytes_left_;
        while (left >= bytes) {
            if (filter_bytes_left_.compare_exchange_weak(left, left - bytes)) return true;
        }
        return false;
    }
    void give_filter(std::size_t bytes) { filter_bytes_left_ += bytes; }

    PageCache pages;

private:
    std::atomic<std::size_t> filter_bytes_left_;
};

}  // namespace stillpoint::vault
