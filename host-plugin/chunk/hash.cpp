#include "chunk/hash.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/check.hpp"
#include "chunk/pool.hpp"

namespace stillpoint::chunk {
namespace {

struct MacDeleter {
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
struct KdfDeleter {
    void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

const unsigned char* chars(ByteView bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
}

std::unique_ptr<EVP_MAC_CTX, MacDeleter> keyed_hmac(const SecretKey& key) {
    EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    std::unique_ptr<EVP_MAC_CTX, MacDeleter> context{EVP_MAC_CTX_new(mac)};
    EVP_MAC_free(mac);
    std::string digest = "SHA256";
    const std::array params{
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), digest.size()),
        OSSL_PARAM_construct_end()};
    SP_CHECK(context &&
             EVP_MAC_init(context.get(), chars(key.view()), SecretKey::bytes, params.data()) == 1);
    return context;
}

// OpenSSL takes mutable pointers in parameters that it only reads.
OSSL_PARAM octets(const char* name, ByteView bytes) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<unsigned char*>(chars(bytes)),
                                             bytes.size());
}

}  // namespace

Digest sha256(ByteView bytes) {
    Digest digest;
    SP_CHECK(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()),
                        nullptr, EVP_sha256(), nullptr) == 1);
    return digest;
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

class ChunkHasher::Pool {
public:
    explicit Pool(const SecretKey& key) : keyed_(keyed_hmac(key)) {}
    auto borrow() {
        return pool_.borrow([this] { return EVP_MAC_CTX_dup(keyed_.get()); });
    }

private:
    std::unique_ptr<EVP_MAC_CTX, MacDeleter> keyed_;  // never updated: only duplicated
    ContextPool<EVP_MAC_CTX, MacDeleter> pool_;
};

ChunkHasher::ChunkHasher(const SecretKey& key) : pool_(std::make_unique<Pool>(key)) {}
ChunkHasher::~ChunkHasher() = default;
ChunkHasher::ChunkHasher(ChunkHasher&&) noexcept = default;

ChunkId ChunkHasher::id_of(ByteView plaintext) const {
    const auto context = pool_->borrow();
    ChunkId id;
    std::size_t written = 0;
    // Without a key, init starts again under the key schedule that is there.
    SP_CHECK(context.get() != nullptr && EVP_MAC_init(context.get(), nullptr, 0, nullptr) == 1 &&
             EVP_MAC_update(context.get(), chars(plaintext), plaintext.size()) == 1 &&
             EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(id.value.data()),
                           &written, id.value.size()) == 1 &&
             written == ChunkId::bytes);
    return id;
}

}  // namespace stillpoint::chunk
