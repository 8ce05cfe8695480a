#include "chunk/hash.hpp"

#include <doctest/doctest.h>

#include <thread>

#include "base/hex.hpp"

using namespace stillpoint;
using namespace stillpoint::chunk;

namespace {
SecretKey key_of(unsigned char fill) {
    return SecretKey::from(Bytes(SecretKey::bytes, std::byte{fill})).value();
}
}  // namespace

TEST_CASE("chunk/hash: SHA-256 of the standard's example") {
    // FIPS 180-2 appendix B.1
    CHECK(to_hex(sha256(as_bytes("abc"))) ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("chunk/hash: HKDF gives the RFC's first 32 bytes") {
    // RFC 5869 appendix A.1 (the expansion is a prefix: L = 42 there, 32 here)
    const Bytes secret(22, std::byte{0x0b});
    const auto salt = from_hex("000102030405060708090a0b0c").value();
    const auto info = from_hex("f0f1f2f3f4f5f6f7f8f9").value();
    CHECK(to_hex(hkdf_sha256(secret, salt, info).view()) ==
          "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
}

TEST_CASE("chunk/hash: ids are HMAC-SHA-256, the same at every call and from every thread") {
    // RFC 4231's keys are shorter; HMAC pads with zeros, so test case 2's key fits in 32 bytes.
    Bytes padded = to_bytes(as_bytes("Jefe"));
    padded.resize(SecretKey::bytes);
    const ChunkHasher rfc{SecretKey::from(padded).value()};
    const char* const expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    for (int i = 0; i < 3; ++i) {
        CHECK(to_hex(rfc.id_of(as_bytes("what do ya want for nothing?")).view()) == expected);
    }
    const ChunkHasher hasher{key_of(7)};
    const Bytes block(64 << 10, std::byte{5});
    const ChunkId id = hasher.id_of(block);
    std::vector<std::thread> threads;
    std::array<int, 4> wrong{};
    for (int& count : wrong) {
        threads.emplace_back([&] {
            for (int i = 0; i < 50; ++i) count += hasher.id_of(block) != id ? 1 : 0;
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(wrong == std::array<int, 4>{});
}

TEST_CASE("chunk/hash: another key gives another id") {
    CHECK(ChunkHasher{key_of(1)}.id_of({}) != ChunkHasher{key_of(2)}.id_of({}));
}

TEST_CASE("chunk/secret: takes exactly 32 bytes") {
    CHECK(SecretKey::from(Bytes(31)).error().id == "key.length");
    CHECK(SecretKey::from(Bytes(33)).error().id == "key.length");
}
