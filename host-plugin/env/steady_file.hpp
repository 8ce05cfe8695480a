#pragma once
#include <functional>
#include <string>
#include <vector>

#include "env/file_stamp.hpp"

/// Small files that other processes keep and may be changing right now.
namespace stillpoint::env {

struct SteadyFile {
    std::string name;
    Bytes content;
    FileStamp stamp;  // before and after the reading
};

struct SteadyLimits {
    std::size_t bytes_max = 0;                 // of a file, of a folder all of them together
    std::size_t files_max = 1;                 // of a folder
    unsigned tries = 5;                        // then whoever writes it does so all the time
    std::function<void()> after_reading = {};  // for tests: what others do meanwhile
};

/// Reads a regular file whole, as it stood still at one moment: nothing about its stamp changed
/// while it was read, and a change within the same tick of the file system's clock would have
/// shown. Blocks as long as the file system does.
/// @param file no symbolic link (its folder's path may hold some)
/// @errors invalid, id "file.not_regular" or "file.too_large" · busy, id "file.unsteady": it
///         changed each time · not_found, denied, io
/// @threads any
[[nodiscard]] Result<SteadyFile> read_steady_file(const Path& file, const SteadyLimits& limits);

/// The same of all files of a folder, which together stood still. Names that begin with `.` or
/// `TMP` are left out: locks, and what is being written.
/// @param folder no symbolic link
/// @errors as above; invalid, id "file.not_regular", also for anything in it that is no file ·
///         invalid, id "file.too_many"
[[nodiscard]] Result<std::vector<SteadyFile>> read_steady_folder(const Path& folder,
                                                                 const SteadyLimits& limits);

}  // namespace stillpoint::env
