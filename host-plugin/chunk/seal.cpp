#include "chunk/seal.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <limits>

#include "base/check.hpp"
#include "chunk/pool.hpp"

namespace stillpoint::chunk {
namespace {

struct CipherDeleter {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

using Nonce = std::array<unsigned char, 12>;

Nonce nonce_of(std::uint64_t record) {
    Nonce nonce{};
    for (std::size_t i = 0; i < sizeof record; ++i) {
        nonce[i] = static_cast<unsigned char>(record >> (8 * i));
    }
    return nonce;
}

const unsigned char* chars(ByteView bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* chars(std::span<std::byte> bytes) {
    return reinterpret_cast<unsigned char*>(bytes.data());
}

int length(std::size_t bytes) {
    SP_CHECK(bytes <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
    return static_cast<int>(bytes);
}

bool sealed_ok(EVP_CIPHER_CTX* context, ByteView associated, ByteView plaintext,
               std::span<std::byte> out) {
    int n = 0;
    return EVP_EncryptUpdate(context, nullptr, &n, chars(associated), length(associated.size())) ==
               1 &&
           EVP_EncryptUpdate(context, chars(out), &n, chars(plaintext), length(plaintext.size())) ==
               1 &&
           EVP_EncryptFinal_ex(context, chars(out) + plaintext.size(), &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, seal_overhead_bytes,
                               chars(out) + plaintext.size()) == 1;
}

bool opened_ok(EVP_CIPHER_CTX* context, ByteView associated, ByteView sealed,
               std::span<std::byte> out) {
    int n = 0;
    std::array<unsigned char, seal_overhead_bytes> tag;
    std::copy_n(chars(sealed) + out.size(), tag.size(), tag.begin());
    return EVP_DecryptUpdate(context, nullptr, &n, chars(associated), length(associated.size())) ==
               1 &&
           EVP_DecryptUpdate(context, chars(out), &n, chars(sealed), length(out.size())) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, seal_overhead_bytes, tag.data()) ==
               1 &&
           EVP_DecryptFinal_ex(context, chars(out) + out.size(), &n) == 1;
}

}  // namespace

// One context serves both directions: the key schedule of GCM is the same, init only says which.
class SealKey::Pool {
public:
    explicit Pool(const SecretKey& key) : keyed_(EVP_CIPHER_CTX_new()) {
        SP_CHECK(keyed_ && EVP_CipherInit_ex(keyed_.get(), EVP_aes_256_gcm(), nullptr,
                                             chars(key.view()), nullptr, 1) == 1);
    }
    auto borrow() {
        return pool_.borrow([this] {
            EVP_CIPHER_CTX* copy = EVP_CIPHER_CTX_new();
            SP_CHECK(copy != nullptr && EVP_CIPHER_CTX_copy(copy, keyed_.get()) == 1);
            return copy;
        });
    }

private:
    std::unique_ptr<EVP_CIPHER_CTX, CipherDeleter> keyed_;  // never used itself: only copied
    ContextPool<EVP_CIPHER_CTX, CipherDeleter> pool_;
};

SealKey::SealKey(const SecretKey& key) : pool_(std::make_unique<Pool>(key)) {}
SealKey::~SealKey() = default;
SealKey::SealKey(SealKey&&) noexcept = default;

void SealKey::seal(std::uint64_t record, ByteView associated, ByteView plaintext,
                   std::span<std::byte> out) const {
    SP_CHECK(out.size() == plaintext.size() + seal_overhead_bytes);
    const auto context = pool_->borrow();
    const Nonce nonce = nonce_of(record);
    SP_CHECK(EVP_EncryptInit_ex(context.get(), nullptr, nullptr, nullptr, nonce.data()) == 1 &&
             sealed_ok(context.get(), associated, plaintext, out));
}

Status SealKey::open(std::uint64_t record, ByteView associated, ByteView sealed,
                     std::span<std::byte> out) const {
    if (sealed.size() >= seal_overhead_bytes) {
        SP_CHECK(out.size() == sealed.size() - seal_overhead_bytes);
        const auto context = pool_->borrow();
        const Nonce nonce = nonce_of(record);
        if (EVP_DecryptInit_ex(context.get(), nullptr, nullptr, nullptr, nonce.data()) == 1 &&
            opened_ok(context.get(), associated, sealed, out)) {
            return {};
        }
    }
    std::fill(out.begin(), out.end(), std::byte{0});  // unauthenticated bytes go nowhere
    return fail(Errc::corrupt, "seal.broken",
                "record " + std::to_string(record) + " is not what was sealed");
}

Result<Bytes> SealKey::open(std::uint64_t record, ByteView associated, ByteView sealed) const {
    Bytes out(sealed.size() < seal_overhead_bytes ? 0 : sealed.size() - seal_overhead_bytes);
    SP_TRY(open(record, associated, sealed, out));
    return out;
}

}  // namespace stillpoint::chunk
