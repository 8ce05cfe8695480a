#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "base/limits.hpp"

/// Frames on the byte stream between host and guest; docs/protocol.md has the layout to the byte.
/// The stream may start in the middle of old data: a reader skips to the next valid frame.
namespace stillpoint::serialization {

using SessionId = std::uint64_t;  // random, chosen by the host in its Hello; the guest echoes it

struct Frame {
    SessionId session = 0;
    std::uint32_t sequence = 0;  // per sender and session, from 1; a gap or repeat is a dropped frame
    Bytes payload;
};

/// magic "SPF1", version u8, reserved u8 ×3, session u64, sequence u32, length u32, CRC-32C u32 over
/// everything before it and the payload; all little-endian.
inline constexpr std::size_t frame_header_bytes = 28;

[[nodiscard]] Bytes encode_frame(const Frame& frame);

/// Takes bytes as they come and gives whole, checked frames. Memory: at most one frame.
/// @threads one at a time
class FrameReader {
public:
    /// Adds received bytes (at most what `room()` says at once; more is a broken assumption).
    void feed(ByteView bytes);
    [[nodiscard]] std::size_t room() const;
    /// @return the next whole frame; nullopt: feed more. Garbage and damaged frames are skipped and counted.
    [[nodiscard]] std::optional<Frame> next();
    [[nodiscard]] std::uint64_t skipped_bytes() const { return skipped_bytes_; }

private:
    Bytes buffer_;
    std::size_t start_ = 0;
    std::uint64_t skipped_bytes_ = 0;
};

}  // namespace stillpoint::serialization
