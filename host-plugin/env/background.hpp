#pragma once
#include "env/files.hpp"

/// For processes that outlive the one that started them.
namespace stillpoint::env {

/// Cuts what ties this process to its starter: ignores SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGPIPE
/// and the user signals, closes all descriptors but one, has /dev/null as stdin, stdout and stderr,
/// and / as working folder. Call before any thread exists.
[[nodiscard]] Status leave_starter(int keep_fd);
/// Appends stdout and stderr to a new file, 0600.
/// @errors busy: something of that name exists (also a symbolic link: it is not followed)
[[nodiscard]] Status redirect_output(const Path& new_file);
/// @return the process that started this one; 1 or a reaper once it is gone
[[nodiscard]] pid_t starter_pid();

}  // namespace stillpoint::env
