#include <openssl/crypto.h>

#include "chunk/gcm.hpp"
#include "chunk/multi_buffer.hpp"

namespace stillpoint::chunk {
namespace {

using multi_buffer::octets;

class WideGcm final : public Gcm {
public:
    /// @param manager knows the best functions for this processor
    WideGcm(const SecretKey& key, IMB_MGR* manager)
        : encrypt_(manager->gcm256_enc), decrypt_(manager->gcm256_dec) {
        IMB_AES256_GCM_PRE(manager, key.view().data(), &schedule_);
    }
    WideGcm(const WideGcm&) = delete;
    WideGcm& operator=(const WideGcm&) = delete;
    ~WideGcm() override { wipe(std::as_writable_bytes(std::span{&schedule_, 1})); }

    void encrypt(const Nonce& nonce, ByteView associated, ByteView plaintext,
                 std::span<std::byte> out, Tag& tag) const override {
        gcm_context_data state{};
        encrypt_(&schedule_, &state, octets(out), octets(plaintext), plaintext.size(), nonce.data(),
                 octets(associated), associated.size(), octets(std::span<std::byte>{tag}),
                 tag.size());
    }

    [[nodiscard]] bool decrypt(const Nonce& nonce, ByteView associated, ByteView ciphertext,
                               std::span<std::byte> out, const Tag& tag) const override {
        gcm_context_data state{};
        Tag right{};
        decrypt_(&schedule_, &state, octets(out), octets(ciphertext), ciphertext.size(),
                 nonce.data(), octets(associated), associated.size(),
                 octets(std::span<std::byte>{right}), right.size());
        return CRYPTO_memcmp(right.data(), tag.data(), tag.size()) == 0;
    }

private:
    alignas(64) gcm_key_data schedule_{};  // the library relies on it
    aes_gcm_enc_dec_t encrypt_, decrypt_;
};

}  // namespace

std::unique_ptr<Gcm> wide_gcm(const SecretKey& key) {
    const auto manager = multi_buffer::borrow_manager();
    if (!multi_buffer::ready(manager.get())) return nullptr;
    return std::make_unique<WideGcm>(key, manager.get());
}

}  // namespace stillpoint::chunk
