#include "base/bytes.hpp"

#include <limits>

#include "base/check.hpp"

namespace stillpoint {

std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<ByteView> ByteReader::take(std::size_t count) {
    if (count > in_.size()) {
        return fail(Errc::corrupt, "bytes.short",
                    "need " + std::to_string(count) + " bytes, have " + std::to_string(in_.size()));
    }
    const auto head = in_.first(count);
    in_ = in_.subspan(count);
    return head;
}

Result<std::uint64_t> ByteReader::little_endian(std::size_t width) {
    SP_ASSIGN(const auto bytes, take(width));
    std::uint64_t value = 0;
    for (std::size_t i = width; i-- > 0;)
        value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    return value;
}

Result<std::uint8_t> ByteReader::u8() {
    SP_ASSIGN(const auto value, little_endian(1));
    return static_cast<std::uint8_t>(value);
}

Result<std::uint16_t> ByteReader::u16() {
    SP_ASSIGN(const auto value, little_endian(2));
    return static_cast<std::uint16_t>(value);
}

Result<std::uint32_t> ByteReader::u32() {
    SP_ASSIGN(const auto value, little_endian(4));
    return static_cast<std::uint32_t>(value);
}

Result<std::uint64_t> ByteReader::u64() {
    return little_endian(8);
}

Result<ByteView> ByteReader::sized(std::size_t bytes_max) {
    SP_ASSIGN(const auto count, u32());
    if (count > bytes_max) {
        return fail(Errc::corrupt, "bytes.too_long",
                    "length " + std::to_string(count) + " is over the limit of " +
                        std::to_string(bytes_max));
    }
    return take(count);
}

Status ByteReader::finish() const {
    if (in_.empty()) return {};
    return fail(Errc::corrupt, "bytes.trailing", std::to_string(in_.size()) + " bytes left over");
}

ByteWriter& ByteWriter::raw(ByteView bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    return *this;
}

ByteWriter& ByteWriter::sized(ByteView bytes) {
    SP_CHECK(bytes.size() <= std::numeric_limits<std::uint32_t>::max());
    u32(static_cast<std::uint32_t>(bytes.size()));
    return raw(bytes);
}

ByteWriter& ByteWriter::little_endian(std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i) {
        out_.push_back(static_cast<std::byte>(value >> (8 * i) & 0xff));
    }
    return *this;
}

}  // namespace stillpoint
