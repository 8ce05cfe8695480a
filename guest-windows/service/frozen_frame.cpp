#include "service/frozen_frame.hpp"

#include <algorithm>
#include <array>

#include "base/check.hpp"
#include "base/crc32c.hpp"

namespace stillpoint::windows_guest {
namespace {

// In the frame, docs/protocol.md.
constexpr std::size_t sequence_at = 16;
constexpr std::size_t checksum_at = 24;
constexpr std::int64_t least_stamp = 1ll << 32;
// No text holds them: neither byte may occur in UTF-8.
constexpr std::int64_t first_freeze_mark = 0x7efffe0102030401;
constexpr std::int64_t frozen_mark = 0x7efffe0102030402;

std::size_t find(ByteView bytes, std::int64_t mark) {
    std::array<std::byte, 8> wanted{};
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        wanted[i] = std::byte(static_cast<std::uint64_t>(mark) >> (56 - 8 * i) & 0xffu);
    }
    const auto found = std::search(bytes.begin(), bytes.end(), wanted.begin(), wanted.end());
    SP_CHECK(found != bytes.end());
    return static_cast<std::size_t>(found - bytes.begin());
}

}  // namespace

FrozenFrame::FrozenFrame(serialization::SessionId session, serialization::Frozen message) {
    message.first_freeze_ns = first_freeze_mark;
    message.frozen_ns = frozen_mark;
    bytes_ = serialization::encode_frame({session, 1, serialization::encode_message(message)});
    first_freeze_at_ = find(bytes_, first_freeze_mark);
    frozen_at_ = find(bytes_, frozen_mark);
}

ByteView FrozenFrame::fill(std::uint32_t sequence, std::int64_t first_freeze_ns,
                           std::int64_t frozen_ns) noexcept {
    SP_CHECK(first_freeze_ns >= least_stamp && frozen_ns >= least_stamp);
    put_little_endian(sequence_at, sequence);
    put_big_endian(first_freeze_at_, static_cast<std::uint64_t>(first_freeze_ns));
    put_big_endian(frozen_at_, static_cast<std::uint64_t>(frozen_ns));
    const ByteView all{bytes_};
    const ByteView payload = all.subspan(serialization::frame_header_bytes);
    put_little_endian(checksum_at, crc32c(payload, crc32c(all.first(checksum_at))));
    return all;
}

void FrozenFrame::put_big_endian(std::size_t at, std::uint64_t value) noexcept {
    for (std::size_t i = 0; i < 8; ++i) bytes_[at + i] = std::byte(value >> (56 - 8 * i) & 0xffu);
}

void FrozenFrame::put_little_endian(std::size_t at, std::uint32_t value) noexcept {
    for (std::size_t i = 0; i < 4; ++i) bytes_[at + i] = std::byte(value >> (8 * i) & 0xffu);
}

}  // namespace stillpoint::windows_guest
