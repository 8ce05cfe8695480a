#include "env/random.hpp"

#include <sys/random.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "base/check.hpp"
#include "base/hex.hpp"

namespace stillpoint::env {

Bytes random_bytes(std::size_t count) {
    Bytes bytes(count);
    std::size_t done = 0;
    while (done < count) {
        const ssize_t n = ::getrandom(bytes.data() + done, count - done, 0);
        SP_CHECK(n > 0 || errno == EINTR);
        if (n > 0) done += static_cast<std::size_t>(n);
    }
    return bytes;
}

std::uint64_t random_u64() {
    std::uint64_t number = 0;
    const Bytes bytes = random_bytes(sizeof number);
    std::memcpy(&number, bytes.data(), sizeof number);
    return number;
}

std::uint64_t random_below(const RandomFn& random, std::uint64_t end) {
    SP_CHECK(end > 0);
    // What lies above the largest multiple of `end` would make small numbers likelier.
    constexpr std::uint64_t largest = std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t beyond = largest - largest % end;
    while (true) {
        const std::uint64_t number = random();
        if (number < beyond) return number % end;
    }
}

std::string random_hex(std::size_t count) {
    return to_hex(random_bytes(count));
}

std::string uuid7(const Clock& clock) {
    Bytes id = random_bytes(16);
    const auto ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall()).count());
    for (std::size_t i = 0; i < 6; ++i) id[i] = static_cast<std::byte>(ms >> (40 - 8 * i) & 0xff);
    id[6] = (id[6] & std::byte{0x0f}) | std::byte{0x70};
    id[8] = (id[8] & std::byte{0x3f}) | std::byte{0x80};
    return to_hex(id);
}

}  // namespace stillpoint::env
