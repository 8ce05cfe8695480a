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
    std::uint32_t sequence =
        0;  // per sender and session, from 1; a gap or repeat is a dropped frame
    Bytes payload;
    friend bool operator==(const Frame&, const Frame&) = default;
};

/// magic "SPF1", version u8, reserved u8 ×3, session u64, sequence u32, length u32, CRC-32C u32
/// over everything before it and the payload; all little-endian.
inline constexpr std::size_t frame_header_bytes = 28;
inline constexpr std::uint8_t frame_version = 1;

/// @param frame its payload has at most limits::frame_bytes_max bytes; more is a broken assumption
[[nodiscard]] Bytes encode_frame(const Frame& frame);

/// Takes bytes as they come and gives whole, checked frames. Time: linear in the bytes fed,
/// whatever they are. Memory: at most four frames.
/// @threads one at a time
class FrameReader {
public:
    /// Adds received bytes (at most what `room()` says at once; more is a broken assumption).
    void feed(ByteView bytes);
    /// @return how many bytes may be fed; never 0 after next() returned nullopt
    [[nodiscard]] std::size_t room() const;
    /// @return the next whole frame; nullopt: feed more. Garbage and damaged frames are skipped and
    /// counted.
    [[nodiscard]] std::optional<Frame> next();
    /// Stops waiting for the rest of frames that began in what was fed so far. A sender writes a
    /// frame in one go, so call this when one has been awaited for half a second: its beginning is
    /// what an earlier sender left behind, and would swallow what follows. Then call next().
    void give_up_partial();
    /// Whether the beginning of a frame is waited on; with `position` (bytes of the stream before
    /// it) a caller sees whether it is still the same one.
    [[nodiscard]] bool waiting() const { return start_ < buffer_.size(); }
    [[nodiscard]] std::uint64_t position() const { return dropped_bytes_ + start_; }
    [[nodiscard]] std::uint64_t skipped_bytes() const { return skipped_bytes_; }
    /// Frames with a sound header whose checksum was wrong.
    [[nodiscard]] std::uint64_t damaged_frames() const { return damaged_frames_; }
    /// Headers of a frame layout other than ours.
    [[nodiscard]] std::uint64_t other_versions() const { return other_versions_; }

private:
    struct Header;
    enum class Look { found, skip, more };
    [[nodiscard]] ByteView unread() const { return ByteView{buffer_}.subspan(start_); }
    bool seek_magic();
    Look look_at_header(Header& header);
    bool checksum_ok(const Header& header);
    void skip(std::size_t count);

    Bytes buffer_;
    std::size_t start_ = 0;
    std::size_t give_up_end_ = 0;      // what begins before this index is not waited for
    std::uint64_t dropped_bytes_ = 0;  // of the stream, before the buffer
    std::uint64_t check_credit_bytes_ = 0;
    std::uint64_t skipped_bytes_ = 0;
    std::uint64_t damaged_frames_ = 0;
    std::uint64_t other_versions_ = 0;
};

}  // namespace stillpoint::serialization
