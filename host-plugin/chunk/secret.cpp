#include "chunk/secret.hpp"

#include <openssl/crypto.h>

#include <algorithm>

namespace stillpoint::chunk {

SecretKey::~SecretKey() {
    wipe(value_);
}

Result<SecretKey> SecretKey::from(ByteView view) {
    if (view.size() != bytes) {
        return fail(Errc::invalid, "key.length",
                    "a key has 32 bytes, this one " + std::to_string(view.size()));
    }
    SecretKey key;
    std::copy(view.begin(), view.end(), key.value_.begin());
    return key;
}

void wipe(std::span<std::byte> bytes) {
    OPENSSL_cleanse(bytes.data(), bytes.size());
}

}  // namespace stillpoint::chunk
