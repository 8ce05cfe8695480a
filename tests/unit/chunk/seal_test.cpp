#include "chunk/seal.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "base/hex.hpp"
#include "chunk/gcm.hpp"

using namespace stillpoint;
using namespace stillpoint::chunk;

namespace {
Bytes sealed(const SealKey& key, std::uint64_t record, std::string_view associated,
             std::string_view text) {
    Bytes out(text.size() + seal_overhead_bytes);
    key.seal(record, as_bytes(associated), as_bytes(text), out);
    return out;
}
}  // namespace

TEST_CASE("chunk/seal: AES-256-GCM test vector") {
    // McGrew & Viega, "The Galois/Counter Mode of Operation", test cases 13 and 14: zero key, zero
    // IV
    const SealKey key{SecretKey{}};
    Bytes tag(16);
    key.seal(0, {}, {}, tag);
    CHECK(to_hex(tag) == "530f8afbc74536b9a963b4f1c4cb738b");
    Bytes out(32);
    key.seal(0, {}, Bytes(16), out);
    CHECK(to_hex(out) == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
}

TEST_CASE("chunk/seal: both libraries seal alike, open each other's seals and refuse the same") {
    const SecretKey secret = SecretKey::from(Bytes(SecretKey::bytes, std::byte{9})).value();
    const auto wide = wide_gcm(secret);
#ifdef __x86_64__
    REQUIRE(wide != nullptr);
#else
    if (!wide) return;
#endif
    const auto openssl = openssl_gcm(secret);
    const Gcm::Nonce nonce{1, 2, 3, 4, 5, 6, 7, 8};
    Bytes pattern((1 << 20) + 3);
    for (std::size_t i = 0; i < pattern.size(); ++i)
        pattern[i] = static_cast<std::byte>(i * i >> 3);
    for (const std::size_t bytes :
         {0u, 1u, 15u, 16u, 17u, 255u, 257u, 4096u, 65536u, (1u << 20) + 3}) {
        CAPTURE(bytes);
        const ByteView plaintext = ByteView{pattern}.first(bytes);
        const ByteView associated = ByteView{pattern}.last(std::min<std::size_t>(bytes, 37));
        Bytes by_wide(bytes), by_openssl(bytes), back(bytes);
        Gcm::Tag wide_tag{}, openssl_tag{};
        wide->encrypt(nonce, associated, plaintext, by_wide, wide_tag);
        openssl->encrypt(nonce, associated, plaintext, by_openssl, openssl_tag);
        CHECK(by_wide == by_openssl);
        CHECK(wide_tag == openssl_tag);
        CHECK(wide->decrypt(nonce, associated, by_openssl, back, wide_tag));
        CHECK(std::ranges::equal(back, plaintext));
        for (const std::size_t place : {0u, 7u, 15u}) {
            Gcm::Tag wrong = wide_tag;
            wrong[place] ^= std::byte{0x80};
            CHECK_FALSE(wide->decrypt(nonce, associated, by_openssl, back, wrong));
            CHECK_FALSE(openssl->decrypt(nonce, associated, by_wide, back, wrong));
        }
    }
}

TEST_CASE("chunk/seal: opens what was sealed and nothing else") {
    const SealKey key{SecretKey{}};
    const Bytes bytes = sealed(key, 3, "pack", "content");
    CHECK(as_text(key.open(3, as_bytes("pack"), bytes).value()) == "content");
    CHECK(key.open(4, as_bytes("pack"), bytes).error().id == "seal.broken");
    CHECK(key.open(3, as_bytes("puck"), bytes).error().id == "seal.broken");
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        Bytes changed = bytes;
        changed[bit / 8] ^= std::byte{1} << (bit % 8);
        CHECK_FALSE(key.open(3, as_bytes("pack"), changed));
    }
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        CHECK(key.open(3, as_bytes("pack"), ByteView{bytes}.first(cut)).error().code ==
              Errc::corrupt);
    }
}

TEST_CASE("chunk/seal: a broken seal leaves no plaintext behind") {
    const SealKey key{SecretKey{}};
    Bytes bytes = sealed(key, 1, "", "secret");
    bytes.back() ^= std::byte{1};
    Bytes out(6, std::byte{0xff});
    CHECK_FALSE(key.open(1, {}, bytes, out));
    CHECK(out == Bytes(6));
}

TEST_CASE("chunk/seal: equal content under another number looks different") {
    const SealKey key{SecretKey{}};
    CHECK(sealed(key, 1, "", "same") != sealed(key, 2, "", "same"));
}
