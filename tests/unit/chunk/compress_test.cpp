#include "chunk/compress.hpp"

#include <doctest/doctest.h>

#include <random>

#include "base/limits.hpp"

using namespace stillpoint;
using namespace stillpoint::chunk;

namespace {
Bytes text_block(std::size_t count) {
    Bytes out;
    for (int i = 0; out.size() < count; ++i) {
        const std::string line = "line " + std::to_string(i * 7) + " of a log\n";
        out.insert(out.end(), as_bytes(line).begin(), as_bytes(line).end());
    }
    out.resize(count);
    return out;
}
Bytes random_block(std::size_t count) {
    std::mt19937_64 random{42};
    Bytes out(count);
    for (auto& byte : out) byte = static_cast<std::byte>(random());
    return out;
}
}  // namespace

TEST_CASE("chunk/compress: what goes in comes out, smaller when that pays") {
    const Compressor compressor;
    Bytes scratch;
    for (const std::size_t count : {1u, 100u, 4096u, 65536u, 65536u - 512u, 1u << 20}) {
        for (const auto policy :
             {CompressionPolicy::none, CompressionPolicy::zstd, CompressionPolicy::lz4}) {
            for (const Bytes& block : {text_block(count), random_block(count)}) {
                const Payload payload = compressor.compress(policy, block, scratch);
                CHECK(compressor.decompress(payload.codec, payload.bytes, block.size()).value() ==
                      block);
                CHECK(payload.bytes.size() <= block.size());
            }
        }
    }
}

TEST_CASE("chunk/compress: keeps raw what saves less than a 32nd") {
    const Compressor compressor;
    Bytes scratch;
    for (const auto policy : {CompressionPolicy::zstd, CompressionPolicy::lz4}) {
        CHECK(compressor.compress(policy, text_block(65536), scratch).codec != Codec::raw);
        CHECK(compressor.compress(policy, random_block(65536), scratch).codec == Codec::raw);
        Bytes almost_random = random_block(65536);
        std::fill_n(almost_random.begin(), 1500, std::byte{0});  // saves 1,500 of 65,536: < 2,048
        CHECK(compressor.compress(policy, almost_random, scratch).codec == Codec::raw);
        std::fill_n(almost_random.begin(), 4500, std::byte{0});
        CHECK(compressor.compress(policy, almost_random, scratch).codec != Codec::raw);
    }
}

TEST_CASE("chunk/compress: refuses payloads that do not decode to the promised length") {
    const Compressor compressor;
    Bytes scratch;
    const Bytes block = text_block(65536);
    for (const auto policy : {CompressionPolicy::zstd, CompressionPolicy::lz4}) {
        const Payload payload = compressor.compress(policy, block, scratch);
        const auto refused = [&](ByteView bytes, std::size_t plain_bytes) {
            return compressor.decompress(payload.codec, bytes, plain_bytes).error().id;
        };
        CHECK(refused(payload.bytes, 65535) == "chunk.encoding");
        CHECK(refused(payload.bytes, 65537) == "chunk.encoding");
        CHECK(refused(payload.bytes.first(payload.bytes.size() / 2), 65536) == "chunk.encoding");
        CHECK(refused({}, 65536) == "chunk.encoding");
        CHECK(refused(payload.bytes, limits::chunk_bytes_max + 1) == "chunk.encoding");
    }
    CHECK(compressor.decompress(Codec::raw, block, 1).error().id == "chunk.encoding");
}

TEST_CASE("chunk/compress: a reserved encoding is refused by name, not guessed at") {
    const Compressor compressor;
    CHECK(compressor.decompress(Codec::delta, Bytes(40), 40).error().code == Errc::unsupported);
    CHECK(compressor.decompress(static_cast<Codec>(200), Bytes(40), 40).error().id ==
          "chunk.codec");
}
