#pragma once
#include <string>
#include <vector>

#include "os/handle.hpp"
#include "os/path_trust.hpp"

namespace stillpoint::windows_guest::os {

/// A file, or a folder, that nobody but administrators and the system could have put there
/// (path_trust.hpp), with every folder above it: each was opened, judged, and stays open, so that
/// nobody renames or replaces one until this is destroyed. A file that somebody has open for
/// writing is refused.
class TrustedPath {
public:
    enum class Kind { file, folder };
    /// @errors denied, id "hook.untrusted" · not_found · io, id "windows.call"
    static Result<TrustedPath> open(const std::string& path, Kind kind, const TrustRules& rules);
    /// @errors no_space, id "os.too_long": longer than bytes_max · io
    [[nodiscard]] Result<std::string> read(std::size_t bytes_max) const;

private:
    std::vector<Handle> parts_;
    std::string path_;
};

/// The rules of this process.
[[nodiscard]] TrustRules trust_of_process();

/// The names in a folder that TrustedPath accepts, without "." and "..".
/// @errors as TrustedPath::open; one that is not there is not judged: not_found
[[nodiscard]] Result<std::vector<std::string>> list_trusted(const std::string& folder,
                                                            const TrustRules& rules);
/// @errors as TrustedPath::open and read
[[nodiscard]] Result<std::string> read_trusted(const std::string& file, std::size_t bytes_max,
                                               const TrustRules& rules);
/// What is known of an open file or folder. @errors denied, io, id "windows.call"
[[nodiscard]] Result<PathFacts> facts_of(HANDLE opened, const std::string& path);

}  // namespace stillpoint::windows_guest::os
