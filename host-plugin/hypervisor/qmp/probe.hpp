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

enum class NbdServer {
    none,    // nobody listens
    left,    // a server met us and has ended our connection and all that were before it
    silent,  // somebody accepts, but the connection was not ended in time
};

/// Greets an NBD server and waits until it has ended the connection: QEMU 7.2 hangs for ever
/// in nbd-server-stop while a connection negotiates, also one that its client has closed and QEMU
/// has not looked at. Only after `left` may the server be stopped. Leaves nothing in the VM's log.
/// @source ADR-0008 "Stopping the NBD server"
[[nodiscard]] NbdServer take_leave(const env::Path& socket, const env::Deadline& deadline);

}  // namespace stillpoint::hypervisor::qmp
