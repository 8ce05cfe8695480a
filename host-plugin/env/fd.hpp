#pragma once
#include <string>
#include <utility>

#include "base/result.hpp"

namespace stillpoint::env {

/// Owns a file descriptor.
class UniqueFd {
public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept;
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd();
    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] bool valid() const { return fd_ >= 0; }
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }
    void reset();

private:
    int fd_ = -1;
};

/// The Error for a failed system call: ENOSPC/EDQUOT/EFBIG -> no_space, ENOENT/ENOTDIR ->
/// not_found, EACCES/EPERM/EROFS -> denied, EBUSY/EAGAIN/EEXIST -> busy, all else io. id is "os." +
/// the errno's name in lower case where we know it.
/// @param doing verb and object, e.g. "open /var/lib/stillpoint/x"
[[nodiscard]] Error os_error(const std::string& doing, int error_number);

}  // namespace stillpoint::env
