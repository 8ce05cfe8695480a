#include "chunk/delta.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace stillpoint;
using namespace stillpoint::chunk;

namespace {

Bytes noise(std::size_t count, std::uint64_t seed) {
    std::mt19937_64 random{seed};
    Bytes out(count);
    for (std::byte& byte : out) byte = static_cast<std::byte>(random());
    return out;
}

/// The block after a page of 4 KiB in it was written.
Bytes with_page(Bytes block, std::size_t page, std::uint64_t seed) {
    const Bytes fresh = noise(4096, seed);
    std::copy(fresh.begin(), fresh.end(), block.begin() + static_cast<std::ptrdiff_t>(page * 4096));
    return block;
}

}  // namespace

TEST_CASE("chunk/delta: a page written into noise costs a page") {
    const DeltaCodec codec;
    Bytes scratch;
    for (const std::size_t size : {16u << 10, 64u << 10}) {
        CAPTURE(size);
        const Bytes base = noise(size, 1), now = with_page(base, size / 4096 - 1, 2);
        const auto payload = codec.compress(base, now, size / 2, scratch);
        REQUIRE(payload);
        CHECK(payload->size() < 4096 + 200);
        CHECK(codec.decompress(base, *payload, size).value() == now);
    }
}

TEST_CASE("chunk/delta: base and block may differ in length") {
    const DeltaCodec codec;
    Bytes scratch;
    const Bytes base = noise(64 << 10, 1);
    for (const std::size_t size : {std::size_t{512}, std::size_t{20'000}, base.size() + 5000}) {
        Bytes now = base;
        now.resize(size);
        const auto payload = codec.compress(base, now, 4096, scratch);
        REQUIRE(payload);
        CHECK(codec.decompress(base, *payload, size).value() == now);
    }
}

TEST_CASE("chunk/delta: what is too long is given up, and the next call is not the worse for it") {
    const DeltaCodec codec;
    Bytes scratch;
    const Bytes base = noise(64 << 10, 1), other = noise(64 << 10, 2);
    const Bytes now = with_page(base, 3, 4);
    CHECK_FALSE(codec.compress(base, other, 32 << 10, scratch));
    CHECK_FALSE(codec.compress(base, now, 4000, scratch));
    const auto payload = codec.compress(base, now, 32 << 10, scratch);
    REQUIRE(payload);
    const Bytes kept = to_bytes(*payload);
    CHECK(codec.decompress(base, kept, now.size()).value() == now);
    // With another base it is another block or none: the chunk's id tells.
    const auto wrong = codec.decompress(other, kept, now.size());
    CHECK((!wrong || *wrong != now));
    CHECK(codec.decompress(base, kept, now.size() - 1).error().id == "chunk.encoding");
    CHECK(codec.decompress(base, kept, now.size() + 1).error().id == "chunk.encoding");
    CHECK(codec.decompress(base, ByteView{kept}.first(100), now.size()).error().id ==
          "chunk.encoding");
    CHECK(codec.decompress({}, kept, now.size()).error().id == "chunk.encoding");
    CHECK(codec.decompress(base, kept, now.size()).value() == now);
}

TEST_CASE("chunk/delta: a quarter of the pages makes two blocks alike") {
    const Bytes base = noise(64 << 10, 1), other = noise(64 << 10, 2);
    CHECK(alike(base, base));
    CHECK_FALSE(alike(base, other));
    Bytes now = base;
    for (std::size_t page = 0; page < 12; ++page) now = with_page(now, page, page);
    CHECK(alike(base, now));
    CHECK_FALSE(alike(base, with_page(now, 12, 99)));
    CHECK_FALSE(alike(ByteView{base}.first(4095), ByteView{base}.first(4095)));
}
