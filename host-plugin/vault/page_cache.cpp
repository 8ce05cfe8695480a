#include "vault/page_cache.hpp"

namespace stillpoint::vault {

PageCache::PageCache(std::size_t bytes_max)
    : pages_max_(std::max<std::size_t>(
          bytes_max / page_weight_bytes / std::tuple_size_v<decltype(shards_)>, 1)) {}

PageCache::Shard& PageCache::shard_of(std::uint64_t number) {
    // Neighbouring pages, which one lookup may need together, go to different shards.
    return shards_[number % shards_.size()];
}

std::shared_ptr<const IndexPage> PageCache::find(std::uint32_t segment, std::uint32_t page) {
    const std::uint64_t number = number_of(segment, page);
    Shard& shard = shard_of(number);
    const std::scoped_lock lock{shard.mutex};
    const auto found = shard.pages.find(number);
    if (found == shard.pages.end()) return nullptr;
    shard.newest_first.splice(shard.newest_first.begin(), shard.newest_first, found->second);
    return found->second->content;
}

void PageCache::keep(std::uint32_t segment, std::uint32_t page,
                     std::shared_ptr<const IndexPage> content) {
    const std::uint64_t number = number_of(segment, page);
    Shard& shard = shard_of(number);
    const std::scoped_lock lock{shard.mutex};
    if (shard.pages.contains(number)) return;  // another thread read it meanwhile
    shard.newest_first.push_front({number, std::move(content)});
    shard.pages.emplace(number, shard.newest_first.begin());
    if (shard.pages.size() <= pages_max_) return;
    shard.pages.erase(shard.newest_first.back().number);
    shard.newest_first.pop_back();
}

std::size_t PageCache::bytes() const {
    std::size_t pages = 0;
    for (const Shard& shard : shards_) {
        const std::scoped_lock lock{shard.mutex};
        pages += shard.pages.size();
    }
    return pages * page_weight_bytes;
}

}  // namespace stillpoint::vault
