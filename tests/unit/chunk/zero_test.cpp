#include "chunk/zero.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;

TEST_CASE("chunk/zero: one set bit anywhere is not zero") {
    CHECK(chunk::is_zero({}));
    for (const std::size_t count : {1u, 2u, 63u, 64u, 65u, 511u}) {
        Bytes bytes(count);
        CHECK(chunk::is_zero(bytes));
        for (auto& byte : bytes) {
            byte = std::byte{0x80};
            CHECK_FALSE(chunk::is_zero(bytes));
            byte = std::byte{0};
        }
    }
    CHECK_FALSE(chunk::is_zero(Bytes(64, std::byte{1})));
}
