#include "chunk/lanes.hpp"

namespace stillpoint::chunk::lanes {

bool sha256(ByteView, std::size_t, std::span<Digest>) {
    return false;
}

std::optional<HmacKey> hmac_key(const SecretKey&) {
    return std::nullopt;
}

bool hmac(const HmacKey&, ByteView, std::size_t, std::span<Digest>) {
    return false;
}

}  // namespace stillpoint::chunk::lanes
