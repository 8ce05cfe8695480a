#include "base/crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace stillpoint {
namespace {

constexpr std::uint32_t polynomial_reflected = 0x82f63b78;

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial_reflected : 0);
        }
        table[i] = crc;
    }
    return table;
}

constexpr auto table = make_table();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(ByteView bytes, std::uint32_t seed) {
    std::uint64_t crc = ~seed;
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + i, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    auto narrow = static_cast<std::uint32_t>(crc);
    for (; i < bytes.size(); ++i)
        narrow = _mm_crc32_u8(narrow, std::to_integer<unsigned char>(bytes[i]));
    return ~narrow;
}
#endif

}  // namespace

std::uint32_t crc32c_table(ByteView bytes, std::uint32_t seed) {
    std::uint32_t crc = ~seed;
    for (const std::byte b : bytes) {
        crc = (crc >> 8) ^ table[(crc ^ std::to_integer<std::uint32_t>(b)) & 0xff];
    }
    return ~crc;
}

std::uint32_t crc32c(ByteView bytes, std::uint32_t seed) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return crc32c_sse42(bytes, seed);
#endif
    return crc32c_table(bytes, seed);
}

}  // namespace stillpoint
