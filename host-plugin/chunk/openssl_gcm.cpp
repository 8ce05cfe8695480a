#include <openssl/evp.h>

#include <algorithm>
#include <limits>

#include "base/check.hpp"
#include "chunk/gcm.hpp"
#include "chunk/pool.hpp"

namespace stillpoint::chunk {
namespace {

struct CipherDeleter {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Contexts = ContextPool<EVP_CIPHER_CTX, CipherDeleter>;

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

class OpensslGcm final : public Gcm {
public:
    explicit OpensslGcm(const SecretKey& key) : keyed_(EVP_CIPHER_CTX_new()) {
        SP_CHECK(keyed_ && EVP_CipherInit_ex(keyed_.get(), EVP_aes_256_gcm(), nullptr,
                                             chars(key.view()), nullptr, 1) == 1);
    }

    void encrypt(const Nonce& nonce, ByteView associated, ByteView plaintext,
                 std::span<std::byte> out, Tag& tag) const override {
        const auto loan = borrow();
        EVP_CIPHER_CTX* context = loan.get();
        int n = 0;
        SP_CHECK(EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
                 EVP_EncryptUpdate(context, nullptr, &n, chars(associated),
                                   length(associated.size())) == 1 &&
                 EVP_EncryptUpdate(context, chars(out), &n, chars(plaintext),
                                   length(plaintext.size())) == 1 &&
                 EVP_EncryptFinal_ex(context, chars(out) + out.size(), &n) == 1 &&
                 EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, tag_bytes, tag.data()) == 1);
    }

    [[nodiscard]] bool decrypt(const Nonce& nonce, ByteView associated, ByteView ciphertext,
                               std::span<std::byte> out, const Tag& tag) const override {
        const auto loan = borrow();
        EVP_CIPHER_CTX* context = loan.get();
        int n = 0;
        Tag wanted = tag;  // the library takes it as mutable
        return EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce.data()) == 1 &&
               EVP_DecryptUpdate(context, nullptr, &n, chars(associated),
                                 length(associated.size())) == 1 &&
               EVP_DecryptUpdate(context, chars(out), &n, chars(ciphertext),
                                 length(ciphertext.size())) == 1 &&
               EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, tag_bytes, wanted.data()) == 1 &&
               EVP_DecryptFinal_ex(context, chars(out) + out.size(), &n) == 1;
    }

private:
    // One context serves both directions: the key schedule is the same, init only says which.
    Contexts::Loan borrow() const {
        return contexts_.borrow([this] {
            EVP_CIPHER_CTX* copy = EVP_CIPHER_CTX_new();
            SP_CHECK(copy != nullptr && EVP_CIPHER_CTX_copy(copy, keyed_.get()) == 1);
            return copy;
        });
    }

    std::unique_ptr<EVP_CIPHER_CTX, CipherDeleter> keyed_;  // never used itself: only copied
    mutable Contexts contexts_;
};

}  // namespace

std::unique_ptr<Gcm> openssl_gcm(const SecretKey& key) {
    return std::make_unique<OpensslGcm>(key);
}

}  // namespace stillpoint::chunk
