#pragma once
#include <sys/types.h>

#include "env/fd.hpp"
#include "env/files.hpp"

namespace stillpoint::test {

/// Stands between a client process and a QMP monitor, and kills the client at its n-th command.
class MonitorProxy {
public:
    /// Listens at once; clients may connect before serve().
    MonitorProxy(env::Path listen_at, env::Path monitor);
    ~MonitorProxy();
    MonitorProxy(const MonitorProxy&) = delete;
    MonitorProxy& operator=(const MonitorProxy&) = delete;

    /// Serves one connection until the client ends. When `commands_max` of its commands have been
    /// handed to QEMU, the client gets SIGKILL before it can see the last reply.
    void serve(pid_t client, int commands_max);

private:
    env::Path listen_at_;
    env::Path monitor_;
    env::UniqueFd listener_;
};

}  // namespace stillpoint::test
