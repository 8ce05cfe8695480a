#include "chunk/hash.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <vector>

#include "base/check.hpp"
#include "base/limits.hpp"
#include "chunk/lanes.hpp"
#include "chunk/pieces.hpp"

namespace stillpoint::chunk {
namespace {

constexpr std::size_t id_pieces_max = limits::chunk_bytes_max / piece_bytes;

struct KdfDeleter {
    void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

const unsigned char* chars(ByteView bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
}

// OpenSSL takes mutable pointers in parameters that it only reads.
OSSL_PARAM octets(const char* name, ByteView bytes) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<unsigned char*>(chars(bytes)),
                                             bytes.size());
}

/// A name must be the same on every host, so lanes must give what OpenSSL gives.
bool prove_lanes() {
    constexpr std::size_t pieces = 17, each = 64;
    const Bytes pattern(pieces * each - 5, std::byte{0xa5});
    std::array<Digest, pieces> digests{};
    if (!lanes::sha256(pattern, each, digests)) return false;
    for (std::size_t i = 0; i < pieces; ++i) {
        if (digests[i] != sha256(piece_of(pattern, each, i))) return false;
    }
    return true;
}

}  // namespace

Digest sha256(ByteView bytes) {
    Digest digest;
    SP_CHECK(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()),
                        nullptr, EVP_sha256(), nullptr) == 1);
    return digest;
}

Digest sha256_by_pieces(ByteView bytes) {
    static const bool lanes_are_right = prove_lanes();
    std::vector<Digest> list(pieces_in(bytes.size()));
    if (!lanes_are_right || !lanes::sha256(bytes, piece_bytes, list)) {
        for (std::size_t i = 0; i < list.size(); ++i) {
            list[i] = sha256(piece_of(bytes, piece_bytes, i));
        }
    }
    return sha256(std::as_bytes(std::span{list}));
}

SecretKey hkdf_sha256(ByteView secret, ByteView salt, ByteView info) {
    EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
    const std::unique_ptr<EVP_KDF_CTX, KdfDeleter> context{EVP_KDF_CTX_new(kdf)};
    EVP_KDF_free(kdf);
    std::string digest = "SHA256";
    const std::array params{
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
        octets(OSSL_KDF_PARAM_KEY, secret), octets(OSSL_KDF_PARAM_SALT, salt),
        octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
    SecretKey out;
    SP_CHECK(context &&
             EVP_KDF_derive(context.get(), reinterpret_cast<unsigned char*>(out.writable().data()),
                            SecretKey::bytes, params.data()) == 1);
    return out;
}

ChunkHasher::ChunkHasher(const SecretKey& key)
    : pieces_(key), lists_(hkdf_sha256(key.view(), Digest{}, as_bytes("list of pieces"))) {}

ChunkId ChunkHasher::id_of(ByteView plaintext) const {
    if (plaintext.size() <= piece_bytes) return ChunkId{pieces_.of(plaintext)};
    std::array<Digest, id_pieces_max> tags;
    SP_CHECK(plaintext.size() <= limits::chunk_bytes_max);
    const std::span list = std::span{tags}.first(pieces_in(plaintext.size()));
    pieces_.of_pieces(plaintext, piece_bytes, list);
    return ChunkId{lists_.of(std::as_bytes(list))};
}

}  // namespace stillpoint::chunk
