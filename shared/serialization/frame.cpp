#include "serialization/frame.hpp"

#include <algorithm>
#include <array>

#include "base/check.hpp"
#include "base/crc32c.hpp"

namespace stillpoint::serialization {
namespace {

constexpr std::array magic{std::byte{'S'}, std::byte{'P'}, std::byte{'F'}, std::byte{'1'}};
constexpr std::size_t crc_bytes = 4;
constexpr std::size_t checked_header_bytes = frame_header_bytes - crc_bytes;
constexpr std::size_t whole_frame_bytes_max = frame_header_bytes + limits::frame_bytes_max;

// A forged header every eight bytes, each announcing a megabyte, would make us checksum a megabyte
// per eight bytes. So checking is paid for: a received byte earns eight checked ones. A sound
// stream spends one of them; only who forges more than eight nested headers loses frames.
constexpr std::uint64_t check_credit_per_byte = 8;
constexpr std::uint64_t check_credit_bytes_max = check_credit_per_byte * whole_frame_bytes_max;

}  // namespace

struct FrameReader::Header {
    SessionId session = 0;
    std::uint32_t sequence = 0;
    std::uint32_t payload_bytes = 0;
    std::uint32_t crc = 0;
    [[nodiscard]] std::size_t frame_bytes() const { return frame_header_bytes + payload_bytes; }
};

Bytes encode_frame(const Frame& frame) {
    SP_CHECK(frame.payload.size() <= limits::frame_bytes_max);
    Bytes out;
    out.reserve(frame_header_bytes + frame.payload.size());
    ByteWriter writer{out};
    writer.raw(magic).u8(frame_version).u8(0).u8(0).u8(0).u64(frame.session).u32(frame.sequence);
    writer.u32(static_cast<std::uint32_t>(frame.payload.size()));
    writer.u32(crc32c(frame.payload, crc32c(out)));
    writer.raw(frame.payload);
    return out;
}

void FrameReader::feed(ByteView bytes) {
    SP_CHECK(bytes.size() <= room());
    // Moving what is left only after a whole frame's worth was read keeps the moves linear.
    if (start_ >= whole_frame_bytes_max) {
        buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(start_));
        dropped_bytes_ += start_;
        give_up_end_ -= std::min(give_up_end_, start_);
        start_ = 0;
    }
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    check_credit_bytes_ = std::min(check_credit_bytes_ + check_credit_per_byte * bytes.size(),
                                   check_credit_bytes_max);
}

std::size_t FrameReader::room() const {
    return whole_frame_bytes_max - std::min(whole_frame_bytes_max, unread().size());
}

std::optional<Frame> FrameReader::next() {
    while (seek_magic()) {
        Header header;
        switch (look_at_header(header)) {
            case Look::more:
                return std::nullopt;
            case Look::skip:
                skip(1);
                continue;
            case Look::found:
                break;
        }
        const auto payload = unread().subspan(frame_header_bytes, header.payload_bytes);
        Frame frame{header.session, header.sequence, to_bytes(payload)};
        start_ += header.frame_bytes();
        return frame;
    }
    return std::nullopt;
}

void FrameReader::give_up_partial() {
    give_up_end_ = buffer_.size();
}

/// Skips to the next magic, or to what may be the beginning of one. @return whether a whole one is
/// there
bool FrameReader::seek_magic() {
    const auto in = unread();
    const auto found = std::search(in.begin(), in.end(), magic.begin(), magic.end());
    auto at = static_cast<std::size_t>(found - in.begin());
    const bool whole = found != in.end();
    if (!whole) {
        at = in.size() - std::min(in.size(), magic.size() - 1);
        while (!std::equal(in.begin() + static_cast<std::ptrdiff_t>(at), in.end(), magic.begin())) {
            ++at;
        }
    }
    skip(at);
    return whole;
}

/// Judges the bytes at a magic.
FrameReader::Look FrameReader::look_at_header(Header& header) {
    if (unread().size() < frame_header_bytes) return Look::more;
    ByteReader reader{unread().subspan(magic.size())};
    const std::uint8_t version = *reader.u8();
    const bool reserved_clear = *reader.u8() == 0 && *reader.u8() == 0 && *reader.u8() == 0;
    if (version != frame_version) ++other_versions_;
    if (version != frame_version || !reserved_clear) return Look::skip;
    header.session = *reader.u64();
    header.sequence = *reader.u32();
    header.payload_bytes = *reader.u32();
    header.crc = *reader.u32();
    if (header.payload_bytes > limits::frame_bytes_max) return Look::skip;
    if (header.frame_bytes() > unread().size()) {
        return start_ < give_up_end_ ? Look::skip : Look::more;
    }
    if (header.frame_bytes() > check_credit_bytes_) return Look::skip;
    return checksum_ok(header) ? Look::found : Look::skip;
}

bool FrameReader::checksum_ok(const Header& header) {
    check_credit_bytes_ -= header.frame_bytes();
    const auto in = unread();
    const std::uint32_t head = crc32c(in.first(checked_header_bytes));
    const auto payload = in.subspan(frame_header_bytes, header.payload_bytes);
    if (crc32c(payload, head) == header.crc) return true;
    ++damaged_frames_;
    return false;
}

void FrameReader::skip(std::size_t count) {
    start_ += count;
    skipped_bytes_ += count;
}

}  // namespace stillpoint::serialization
