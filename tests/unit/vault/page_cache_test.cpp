#include "vault/page_cache.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "index_samples.hpp"
#include "vault/key_filter.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;

namespace {

std::shared_ptr<const IndexPage> page_of(std::uint32_t mark) {
    auto page = std::make_shared<IndexPage>();
    page->fill(static_cast<std::byte>(mark));
    return page;
}

}  // namespace

TEST_CASE("vault/page cache: keeps what is asked for, and never more than its bound") {
    constexpr std::size_t bytes_max = 64 * PageCache::page_weight_bytes;
    PageCache cache{bytes_max};
    const std::uint32_t segment = cache.new_segment(), other = cache.new_segment();
    CHECK(segment != other);
    cache.keep(segment, 7, page_of(7));
    for (std::uint32_t page = 1000; page < 3000; ++page) {
        cache.keep(other, page, page_of(page));
        REQUIRE(cache.find(segment, 7));  // asked for each time: stays
        CHECK(cache.bytes() <= bytes_max);
    }
    CHECK(cache.bytes() == bytes_max);
    CHECK((*cache.find(segment, 7))[0] == std::byte{7});
    CHECK_FALSE(cache.find(other, 1000));
    CHECK_FALSE(cache.find(other, 7));
    CHECK(cache.find(other, 2999));
}

TEST_CASE("vault/page cache: a page that is pushed out stays whole for who has it") {
    PageCache cache{0};  // one page in each shard
    const std::uint32_t segment = cache.new_segment();
    cache.keep(segment, 0, page_of(1));
    const auto mine = cache.find(segment, 0);
    for (std::uint32_t page = 1; page < 100; ++page) cache.keep(segment, page, page_of(2));
    CHECK_FALSE(cache.find(segment, 0));
    REQUIRE(mine);
    CHECK(mine->back() == std::byte{1});
}

TEST_CASE("vault/page cache: threads that meet in it get the right pages") {
    PageCache cache{32 * PageCache::page_weight_bytes};
    const std::uint32_t segment = cache.new_segment();
    std::atomic<unsigned> wrong{0};
    {
        std::vector<std::jthread> threads;
        for (unsigned thread = 0; thread < 4; ++thread) {
            threads.emplace_back([&, thread] {
                for (std::uint32_t i = 0; i < 5000; ++i) {
                    const std::uint32_t page = (i * 7 + thread) % 96;
                    const auto found = cache.find(segment, page);
                    if (found && (*found)[5] != static_cast<std::byte>(page)) ++wrong;
                    if (!found) cache.keep(segment, page, page_of(page));
                }
            });
        }
    }
    CHECK(wrong == 0);
    CHECK(cache.bytes() <= 32 * PageCache::page_weight_bytes);
}

TEST_CASE("vault/key filter: knows every key that was added and few others, one byte a key") {
    constexpr std::uint64_t keys = 20'000;
    KeyFilter filter{keys};
    CHECK(KeyFilter::bytes_for(keys) <= keys + 64);
    // As in a merged segment: all keys begin alike.
    const auto key_of = [](std::uint64_t number) {
        IndexKey key = index_key(test::id_of(number));
        key[0] = std::byte{0x12};
        return key;
    };
    for (std::uint64_t i = 0; i < keys; ++i) filter.add(key_of(i));
    std::size_t lost = 0, passed = 0;
    for (std::uint64_t i = 0; i < keys; ++i) {
        lost += filter.may_hold(key_of(i)) ? 0 : 1;
        passed += filter.may_hold(key_of(keys + i)) ? 1 : 0;
    }
    CHECK(lost == 0);
    CHECK(passed < keys / 20);  // 3 % are expected
}
