#include "chunk/seal.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "chunk/gcm.hpp"

namespace stillpoint::chunk {
namespace {

static_assert(seal_overhead_bytes == Gcm::tag_bytes);

Gcm::Nonce nonce_of(std::uint64_t record) {
    Gcm::Nonce nonce{};
    for (std::size_t i = 0; i < sizeof record; ++i) {
        nonce[i] = static_cast<unsigned char>(record >> (8 * i));
    }
    return nonce;
}

/// @return whether the wide way seals as OpenSSL does, and opens that, whatever the number of
/// blocks
bool prove_wide_gcm() {
    const SecretKey key;
    const auto wide = wide_gcm(key);
    if (!wide) return false;
    const auto openssl = openssl_gcm(key);
    const Gcm::Nonce nonce = nonce_of(0x0102030405060708);
    const Bytes pattern(2000, std::byte{0xa5});
    for (std::size_t bytes = 0; bytes <= pattern.size(); bytes += bytes < 600 ? 7 : 97) {
        const ByteView plaintext = ByteView{pattern}.first(bytes);
        const ByteView associated = ByteView{pattern}.first(bytes % 80);
        Bytes out(bytes), back(bytes);
        Gcm::Tag tag{};
        wide->encrypt(nonce, associated, plaintext, out, tag);
        const bool same = openssl->decrypt(nonce, associated, out, back, tag) &&
                          std::ranges::equal(back, plaintext) &&
                          wide->decrypt(nonce, associated, out, back, tag) &&
                          std::ranges::equal(back, plaintext);
        if (!same) return false;
    }
    return true;
}

std::unique_ptr<Gcm> best_gcm(const SecretKey& key) {
    static const bool wide_is_right = prove_wide_gcm();
    auto wide = wide_is_right ? wide_gcm(key) : nullptr;
    return wide ? std::move(wide) : openssl_gcm(key);
}

}  // namespace

SealKey::SealKey(const SecretKey& key) : gcm_(best_gcm(key)) {}
SealKey::~SealKey() = default;
SealKey::SealKey(SealKey&&) noexcept = default;

void SealKey::seal(std::uint64_t record, ByteView associated, ByteView plaintext,
                   std::span<std::byte> out) const {
    SP_CHECK(out.size() == plaintext.size() + seal_overhead_bytes);
    Gcm::Tag tag{};
    gcm_->encrypt(nonce_of(record), associated, plaintext, out.first(plaintext.size()), tag);
    std::copy(tag.begin(), tag.end(), out.last(tag.size()).begin());
}

Status SealKey::open(std::uint64_t record, ByteView associated, ByteView sealed,
                     std::span<std::byte> out) const {
    if (sealed.size() >= seal_overhead_bytes) {
        SP_CHECK(out.size() == sealed.size() - seal_overhead_bytes);
        Gcm::Tag tag{};
        const ByteView given = sealed.last(tag.size());
        std::copy(given.begin(), given.end(), tag.begin());
        if (gcm_->decrypt(nonce_of(record), associated, sealed.first(out.size()), out, tag)) {
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
