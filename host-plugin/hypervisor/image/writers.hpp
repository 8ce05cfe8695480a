#pragma once
#include <optional>
#include <string>
#include <vector>

#include "env/byte_lock.hpp"
#include "env/file_stamp.hpp"

/// Who else writes to an image: QEMU's own image locks, and what a write leaves on the file.
namespace stillpoint::hypervisor::image {

/// A QEMU has the file open for writing right now. Takes no lock, so nobody notices.
/// @source QEMU block/file-posix.c: byte 100 + n is locked by who has permission n, byte 200 + n
/// by who does not share it; the permissions are those of BLK_PERM_… in block-common.h
[[nodiscard]] Result<bool> has_writer(const env::Path& file);

/// Keeps QEMUs from opening the file for writing while it lives, also when they are root's.
class WriterBan {
public:
    /// @errors busy, id "image.in_use": somebody writes already
    static Result<WriterBan> take(const env::Path& file);

private:
    explicit WriterBan(env::SharedByteLocks locks) : locks_(std::move(locks)) {}
    env::SharedByteLocks locks_;
};

/// The stamps of all files of a disk at one time.
struct DiskStamp {
    std::vector<std::string> files;
    std::vector<env::FileStamp> stamps;  // one per file
    /// Stamps prove nothing about some of them.
    [[nodiscard]] bool has_block_device() const;
};

/// @return once a later write to any of the files is bound to change the stamps
[[nodiscard]] Result<DiskStamp> settled_stamp(const std::vector<std::string>& files,
                                              const env::Clock& clock,
                                              const env::CancelToken& cancel);

/// @return the file that was changed, moved or opened for writing since; empty: none
[[nodiscard]] Result<std::string> find_change(const DiskStamp& before);

/// The error for an image that somebody writes.
[[nodiscard]] Error in_use(const std::string& disk, const std::string& file);

}  // namespace stillpoint::hypervisor::image
