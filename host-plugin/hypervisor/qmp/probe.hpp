#pragma once
#include <string>

#include "env/clock.hpp"
#include "env/files.hpp"

namespace stillpoint::hypervisor::qmp {

/// Reads the first sector of an export and forgets it: through a copy-before-write filter that gave
/// up its snapshot every read fails, and nothing else shows it.
/// @errors refused, id "snapshot.broken": the server refused the read · timeout · io: no connection
/// @source ADR-0008 "How a broken snapshot is noticed"
[[nodiscard]] Status read_first_sector(const env::Path& socket, const std::string& export_name,
                                       const env::Deadline& deadline);

/// Whether somebody accepts connections there; leaves an NBD server without an entry in its log.
[[nodiscard]] bool is_nbd_server(const env::Path& socket, const env::Deadline& deadline);

}  // namespace stillpoint::hypervisor::qmp
