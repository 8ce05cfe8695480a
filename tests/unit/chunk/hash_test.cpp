#include "chunk/hash.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/hex.hpp"
#include "chunk/lanes.hpp"
#include "chunk/pieces.hpp"

using namespace stillpoint;
using namespace stillpoint::chunk;

namespace {
SecretKey key_of(unsigned char fill) {
    return SecretKey::from(Bytes(SecretKey::bytes, std::byte{fill})).value();
}

Bytes pattern(std::size_t length) {
    Bytes out(length);
    for (std::size_t i = 0; i < length; ++i) out[i] = static_cast<std::byte>(i * 31 + (i >> 8) * 7);
    return out;
}
}  // namespace

TEST_CASE("chunk/hash: SHA-256 of the standard's example") {
    // FIPS 180-2 appendix B.1
    CHECK(to_hex(sha256(as_bytes("abc"))) ==
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("chunk/hash: a digest by pieces is what another implementation makes of it") {
    // Python's hashlib: sha256(b"".join(sha256(piece).digest() for piece in pieces))
    const std::map<std::size_t, std::string> expected{
        {0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {1, "1406e05881e299367766d313e26c05564ec91bf721d31726bd6e46e60689539a"},
        {4096, "e434a74999879741c9c4d1543564eb9a970e454d8393921f2eb912b146be5d69"},
        {4097, "0e2c454a143753375b249492bab176677f5931e5b7062b65f2faa88f2446e52d"},
        {20000, "3f21eee0527900ef79c6c6d5998d99d354e4491a57853923398ae9c55ffae252"},
        {1 << 20, "e18eb3f62a88babb4d634d72b7ad5c89734edfc916c983cba741d291d5f226fc"}};
    for (const auto& row : expected) {
        CAPTURE(row.first);
        CHECK(to_hex(sha256_by_pieces(pattern(row.first))) == row.second);
    }
}

TEST_CASE("chunk/hash: lanes give the SHA-256 of each piece") {
    const Bytes message = pattern(150'000);
    for (const std::size_t each : {1u, 55u, 64u, 4096u, 65534u}) {
        for (const std::size_t pieces : {1u, 2u, 15u, 16u, 17u, 40u}) {
            const std::size_t length = std::min(message.size(), each * pieces - each / 2);
            const ByteView cut = ByteView{message}.first(length);
            std::vector<Digest> digests(pieces_in(length, each));
            const bool there = lanes::sha256(cut, each, digests);
#ifdef __x86_64__
            CHECK(there);
#endif
            for (std::size_t i = 0; there && i < digests.size(); ++i) {
                CAPTURE(i);
                CHECK(digests[i] == sha256(piece_of(cut, each, i)));
            }
        }
    }
}

TEST_CASE("chunk/hash: HKDF gives the RFC's first 32 bytes") {
    // RFC 5869 appendix A.1 (the expansion is a prefix: L = 42 there, 32 here)
    const Bytes secret(22, std::byte{0x0b});
    const auto salt = from_hex("000102030405060708090a0b0c").value();
    const auto info = from_hex("f0f1f2f3f4f5f6f7f8f9").value();
    CHECK(to_hex(hkdf_sha256(secret, salt, info).view()) ==
          "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
}

TEST_CASE("chunk/hash: a short content's id is its HMAC-SHA-256") {
    // RFC 4231's keys are shorter; HMAC pads with zeros, so test case 2's key fits in 32 bytes.
    Bytes padded = to_bytes(as_bytes("Jefe"));
    padded.resize(SecretKey::bytes);
    const ChunkHasher rfc{SecretKey::from(padded).value()};
    const char* const expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    for (int i = 0; i < 3; ++i) {
        CHECK(to_hex(rfc.id_of(as_bytes("what do ya want for nothing?")).view()) == expected);
    }
}

TEST_CASE("chunk/hash: ids are what another implementation makes of docs/vault-format.md") {
    // Python's hmac and hashlib.
    const std::map<std::size_t, std::string> expected{
        {0, "9dac6a74401b46ed9b489d0e19d68d1b13cc6b5090352fdcfa5bd74df4e69d87"},
        {4096, "196563bb55d7856e6904fa0d9caa18374cb80043bb130c6fa12b24e7f33722b5"},
        {4097, "766e0322c1f00a31fa174eee468283c33beae2b33a77c65475cfb674c53bab92"},
        {20000, "7202a50383e2b54f6715898f41a54100ed51911d020f67b81d03afaf4d3a8c46"},
        {64 << 10, "2c12e4be02e49509f337103164e3bf6ca65dca12037b53b43e689d190b4edd14"},
        {1 << 20, "9fe551308c823596202b1957b9e90cbbf4b0cf7deb6bb082f7e3e74b09e763b8"}};
    const ChunkHasher hasher{key_of(7)};
    for (const auto& row : expected) {
        CAPTURE(row.first);
        CHECK(to_hex(hasher.id_of(pattern(row.first)).view()) == row.second);
    }
}

TEST_CASE("chunk/hash: pieces side by side have the tags that they have one by one") {
    const Hmac hmac{key_of(3)};
#ifdef __x86_64__
    CHECK(hmac.has_lanes());
#endif
    const Bytes message = pattern(150'000);
    for (const std::size_t each : {1u, 55u, 64u, 4096u, 65534u}) {
        for (const std::size_t pieces : {1u, 5u, 6u, 15u, 16u, 17u, 40u}) {
            const std::size_t length = std::min(message.size(), each * pieces - each / 2);
            const ByteView cut = ByteView{message}.first(length);
            std::vector<Digest> tags(pieces_in(length, each));
            hmac.of_pieces(cut, each, tags);
            for (std::size_t i = 0; i < tags.size(); ++i) {
                CAPTURE(i);
                CHECK(tags[i] == hmac.of(piece_of(cut, each, i)));
            }
        }
    }
}

TEST_CASE("chunk/hash: pieces that lanes refuse are computed one by one") {
    const Hmac hmac{key_of(3)};
    const std::size_t too_long = 1 << 16;  // for the library's lanes
    const Bytes message = pattern(7 * too_long);
    std::array<Digest, 7> tags{};
    hmac.of_pieces(message, too_long, tags);
    CHECK(tags[6] == hmac.of(ByteView{message}.last(too_long)));
}

TEST_CASE("chunk/hash: ids are the same at every call and from every thread") {
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
