#include "vault/s3/retention.hpp"

#include <algorithm>
#include <array>

#include "chunk/hash.hpp"
#include "vault/object_names.hpp"

namespace stillpoint::vault::s3 {
namespace {

constexpr std::array kept{names::config, names::keys,   names::packs,
                          names::index,  names::points, names::copies};

}  // namespace

std::vector<std::string> Retention::headers(const std::string& object, ByteView bytes,
                                            env::Nanoseconds now) const {
    const bool locked = days > 0 && std::any_of(kept.begin(), kept.end(), [&](const char* prefix) {
                            return object.starts_with(prefix);
                        });
    if (!locked) return {};
    // AWS wants a checksum of the body with a retention, and takes none that is only signed.
    return {std::string{"x-amz-object-lock-mode: "} +
                (mode == LockMode::compliance ? "COMPLIANCE" : "GOVERNANCE"),
            "x-amz-object-lock-retain-until-date: " + env::rfc3339(now + std::chrono::days{days}),
            "x-amz-checksum-sha256: " + base64(chunk::sha256(bytes))};
}

std::string base64(ByteView bytes) {
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    constexpr std::size_t group = 3;
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += group) {
        const ByteView three = bytes.subspan(at, std::min(group, bytes.size() - at));
        std::uint32_t bits = 0;
        for (std::size_t i = 0; i < group; ++i) {
            bits = bits << 8 | (i < three.size() ? std::to_integer<std::uint32_t>(three[i]) : 0);
        }
        for (unsigned digit = 0; digit < 4; ++digit) {
            text += digit <= three.size() ? digits[bits >> (18 - 6 * digit) & 63] : '=';
        }
    }
    return text;
}

}  // namespace stillpoint::vault::s3
