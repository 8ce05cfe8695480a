#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace stillpoint {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

[[nodiscard]] inline ByteView as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}
[[nodiscard]] std::string_view as_text(ByteView bytes);
[[nodiscard]] inline Bytes to_bytes(ByteView view) {
    return {view.begin(), view.end()};
}

/// The only way bytes from outside are read: little-endian, bounded, never past the end.
/// Every failure is Errc::corrupt with id "bytes.short".
class ByteReader {
public:
    explicit ByteReader(ByteView in) : in_(in) {}
    Result<ByteView> take(std::size_t count);
    Result<std::uint8_t> u8();
    Result<std::uint16_t> u16();
    Result<std::uint32_t> u32();
    Result<std::uint64_t> u64();
    /// A u32 length, checked against `bytes_max` before anything is taken, then that many bytes.
    Result<ByteView> sized(std::size_t bytes_max);
    /// Fails when bytes are left: trailing bytes are never ignored.
    [[nodiscard]] Status finish() const;
    [[nodiscard]] std::size_t left() const { return in_.size(); }
    [[nodiscard]] bool empty() const { return in_.empty(); }

private:
    Result<std::uint64_t> little_endian(std::size_t width);
    ByteView in_;
};

/// Appends little-endian values to a buffer that the caller owns.
class ByteWriter {
public:
    explicit ByteWriter(Bytes& out) : out_(out) {}
    ByteWriter& u8(std::uint8_t value) { return little_endian(value, 1); }
    ByteWriter& u16(std::uint16_t value) { return little_endian(value, 2); }
    ByteWriter& u32(std::uint32_t value) { return little_endian(value, 4); }
    ByteWriter& u64(std::uint64_t value) { return little_endian(value, 8); }
    ByteWriter& raw(ByteView bytes);
    /// A u32 length and the bytes; the length must fit 32 bits.
    ByteWriter& sized(ByteView bytes);

private:
    ByteWriter& little_endian(std::uint64_t value, std::size_t width);
    Bytes& out_;
};

}  // namespace stillpoint
