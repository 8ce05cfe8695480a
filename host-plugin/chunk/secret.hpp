#pragma once
#include <array>
#include <cstddef>

#include "base/bytes.hpp"

namespace stillpoint::chunk {

/// 32 bytes of key, wiped when they go.
class SecretKey {
public:
    static constexpr std::size_t bytes = 32;
    SecretKey() = default;
    SecretKey(const SecretKey&) = default;
    SecretKey& operator=(const SecretKey&) = default;
    ~SecretKey();
    /// @errors invalid, id "key.length": not exactly 32 bytes
    static Result<SecretKey> from(ByteView view);
    [[nodiscard]] ByteView view() const { return value_; }
    [[nodiscard]] std::span<std::byte> writable() { return value_; }

private:
    std::array<std::byte, bytes> value_{};
};

/// Overwrites bytes in a way the compiler keeps.
void wipe(std::span<std::byte> bytes);

}  // namespace stillpoint::chunk
