#pragma once
#include "serialization/frame.hpp"
#include "serialization/messages.hpp"

namespace stillpoint::windows_guest {

/// The message Frozen, made before the window: while writes are held only its times, its sequence
/// number and its checksum are filled in, which takes no memory.
/// @threads one
class FrozenFrame {
public:
    /// @param message its times are ignored
    FrozenFrame(serialization::SessionId session, serialization::Frozen message);
    /// @param first_freeze_ns, frozen_ns at least 2^32, as os::now() gives: their bytes are nine
    /// then
    /// @return the frame that encode_frame would make; valid until the next call
    [[nodiscard]] ByteView fill(std::uint32_t sequence, std::int64_t first_freeze_ns,
                                std::int64_t frozen_ns) noexcept;

private:
    void put_big_endian(std::size_t at, std::uint64_t value) noexcept;
    void put_little_endian(std::size_t at, std::uint32_t value) noexcept;
    Bytes bytes_;
    std::size_t first_freeze_at_ = 0;
    std::size_t frozen_at_ = 0;
};

}  // namespace stillpoint::windows_guest
