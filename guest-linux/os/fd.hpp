#pragma once
#include <cstddef>
#include <string>
#include <utility>

#include "base/result.hpp"

namespace stillpoint::os {

/// Owns a file descriptor.
class UniqueFd {
public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept;
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd() { reset(); }
    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] bool valid() const { return fd_ >= 0; }
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }
    void reset() noexcept;

private:
    int fd_ = -1;
};

struct FdPair {
    UniqueFd first;   // pipe: the end to read from
    UniqueFd second;  // pipe: the end to write to
};

/// @return a close-on-exec pipe. @errors io
[[nodiscard]] Result<FdPair> make_pipe();
/// @return a close-on-exec pair of connected packet sockets: message borders are kept and the
/// death of one side is end-of-file on the other. @errors io
[[nodiscard]] Result<FdPair> make_packet_pair();

/// The Error for a failed system call; id is "os." and the errno's name where we know it.
/// @param doing verb and object, e.g. "open /proc/self/mountinfo"
[[nodiscard]] Error os_error(const std::string& doing, int error_number);

/// Reads at most `bytes_max` bytes of a small (kernel) file.
/// @errors not_found, denied, io · no_space, id "os.too_long": it is longer than that
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t bytes_max);

/// @return where a symbolic link points. @errors as read_file; invalid when it is no link
[[nodiscard]] Result<std::string> read_link(const std::string& path);

}  // namespace stillpoint::os
