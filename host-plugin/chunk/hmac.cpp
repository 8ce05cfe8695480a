#include "chunk/hmac.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/check.hpp"
#include "chunk/pieces.hpp"
#include "chunk/pool.hpp"

namespace stillpoint::chunk {
namespace {

// Sixteen lanes take the time of five pieces one after another, however few of them are used.
constexpr std::size_t pieces_for_lanes = 6;

struct MacDeleter {
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
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

}  // namespace

class Hmac::Contexts {
public:
    explicit Contexts(const SecretKey& key) : keyed_(keyed_hmac(key)) {}

    Digest of(ByteView message) {
        const auto context = pool_.borrow([this] { return EVP_MAC_CTX_dup(keyed_.get()); });
        Digest tag{};
        std::size_t written = 0;
        // Without a key, init starts again under the key schedule that is there.
        SP_CHECK(context.get() != nullptr &&
                 EVP_MAC_init(context.get(), nullptr, 0, nullptr) == 1 &&
                 EVP_MAC_update(context.get(), chars(message), message.size()) == 1 &&
                 EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(tag.data()),
                               &written, tag.size()) == 1 &&
                 written == tag.size());
        return tag;
    }

private:
    std::unique_ptr<EVP_MAC_CTX, MacDeleter> keyed_;  // never updated: only duplicated
    ContextPool<EVP_MAC_CTX, MacDeleter> pool_;
};

Hmac::Hmac(const SecretKey& key)
    : contexts_(std::make_unique<Contexts>(key)), lanes_(lanes::hmac_key(key)) {
    // An id must be the same on every host, so lanes must give what OpenSSL gives.
    constexpr std::size_t pieces = 17, each = 64;
    const Bytes pattern(pieces * each - 5, std::byte{0xa5});
    std::array<Digest, pieces> tags{};
    if (lanes_ && !lanes::hmac(*lanes_, pattern, each, tags)) lanes_.reset();
    for (std::size_t i = 0; i < pieces && lanes_; ++i) {
        if (tags[i] != of(piece_of(pattern, each, i))) lanes_.reset();
    }
}
Hmac::~Hmac() = default;
Hmac::Hmac(Hmac&&) noexcept = default;

Digest Hmac::of(ByteView message) const {
    return contexts_->of(message);
}

void Hmac::of_pieces(ByteView message, std::size_t each, std::span<Digest> tags) const {
    const bool many = tags.size() >= pieces_for_lanes;
    if (many && lanes_ && lanes::hmac(*lanes_, message, each, tags)) return;
    for (std::size_t i = 0; i < tags.size(); ++i) tags[i] = of(piece_of(message, each, i));
}

}  // namespace stillpoint::chunk
