#pragma once
#include <cstdint>
#include <vector>

#include "env/files.hpp"

/// Advisory locks on single bytes of a file between open file descriptions. Programs that agree on
/// bytes tell each other so what they do with a file; the kernel drops a lock with its last
/// descriptor, however the process ends.
/// @source fcntl(2), "Open file description locks"
namespace stillpoint::env {

/// Whether somebody, this process included, holds a lock on the byte.
[[nodiscard]] Result<bool> byte_locked(const Path& file, std::uint64_t byte);

/// Shared locks on some bytes of a file or block device, held for the object's life.
class SharedByteLocks {
public:
    /// @errors busy, id "lock.held": somebody holds one of them exclusively
    static Result<SharedByteLocks> take(const Path& file, const std::vector<std::uint64_t>& bytes);

private:
    explicit SharedByteLocks(UniqueFd fd) : fd_(std::move(fd)) {}
    UniqueFd fd_;
};

}  // namespace stillpoint::env
