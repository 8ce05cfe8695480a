#pragma once
#include <array>
#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "vault/index_layout.hpp"

namespace stillpoint::vault {

using IndexPage = std::array<std::byte, index_content_bytes>;

/// Pages of index segments that were read lately, of all segments of one open vault together.
/// A page that is asked for often (a fan-out table's) stays; one that was asked for once goes
/// first. In shards, each with its own lock, so that threads that look up at once seldom meet.
/// @threads any, concurrently
class PageCache {
public:
    /// What a page takes with all that is around it.
    static constexpr std::size_t page_weight_bytes = index_content_bytes + 192;

    /// @param bytes_max bound on page_weight_bytes of all pages; each shard keeps at least one page
    explicit PageCache(std::size_t bytes_max);

    /// A number for a segment's pages; no other segment gets it.
    [[nodiscard]] std::uint32_t new_segment() { return next_segment_++; }
    /// @return null: not there
    [[nodiscard]] std::shared_ptr<const IndexPage> find(std::uint32_t segment, std::uint32_t page);
    void keep(std::uint32_t segment, std::uint32_t page, std::shared_ptr<const IndexPage> content);
    [[nodiscard]] std::size_t bytes() const;

private:
    struct Kept {
        std::uint64_t number;
        std::shared_ptr<const IndexPage> content;
    };
    struct alignas(64) Shard {
        mutable std::mutex mutex;
        std::list<Kept> newest_first;
        std::unordered_map<std::uint64_t, std::list<Kept>::iterator> pages;
    };
    static std::uint64_t number_of(std::uint32_t segment, std::uint32_t page) {
        return std::uint64_t{segment} << 32 | page;
    }
    Shard& shard_of(std::uint64_t number);

    std::array<Shard, 16> shards_;
    std::size_t pages_max_;  // of one shard
    std::atomic<std::uint32_t> next_segment_{0};
};

}  // namespace stillpoint::vault
