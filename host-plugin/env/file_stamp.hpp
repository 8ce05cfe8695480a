#pragma once
#include <cstdint>

#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "env/files.hpp"

namespace stillpoint::env {

/// What changes about a file when somebody writes to it, moves it or puts another in its place.
struct FileStamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    Nanoseconds modified{};     // of the content
    Nanoseconds changed{};      // of content or attributes; no program can set it
    bool block_device = false;  // its stamps say nothing about its content
    friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

/// Follows symbolic links.
[[nodiscard]] Result<FileStamp> stamp_of(const Path& file);
/// Of an open file; the name is for messages.
[[nodiscard]] Result<FileStamp> stamp_of_fd(int fd, const Path& file);

/// How coarse a file system's clock may be: two ticks of a kernel with HZ=100.
inline constexpr Nanoseconds stamp_tick_max = std::chrono::milliseconds{20};
/// For file systems that keep whole seconds.
inline constexpr Nanoseconds stamp_second = std::chrono::milliseconds{1020};

/// Waits until a later write is bound to get another stamp: within one tick of the file system's
/// clock two writes look alike. At once when the last change is long ago, as it mostly is.
/// @errors cancelled
[[nodiscard]] Status settle(const FileStamp& stamp, const Clock& clock, const CancelToken& cancel);

}  // namespace stillpoint::env
