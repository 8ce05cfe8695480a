#pragma once
#include <functional>
#include <memory>
#include <string>

#include "capture/capture.hpp"
#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "env/random.hpp"
#include "guest/guest_client.hpp"
#include "hypervisor/hypervisor.hpp"
#include "keeper/keeper.hpp"
#include "serialization/reports.hpp"
#include "vault/vault.hpp"

/// What the routes need from outside; the composition root fills it in, tests use fakes.
namespace stillpoint::route {

enum class Severity { debug, info, warning, error };

/// Where a route tells how it goes. @threads any
class Reporter {
public:
    virtual ~Reporter() = default;
    virtual void log(Severity severity, const std::string& line) = 0;
    virtual void progress(const serialization::ProgressEvent& event) = 0;
};

using ConnectGuest = std::function<Result<std::unique_ptr<guest::GuestClient>>(
    const env::Path& socket, const std::string& vm_uuid, const env::Deadline&,
    const env::CancelToken&)>;
using ConnectNbd = std::function<Result<std::unique_ptr<capture::NbdSource>>(
    const capture::NbdAddress&, const env::CancelToken&)>;
using SpawnKeeper = std::function<Result<std::unique_ptr<keeper::KeeperHandle>>()>;

struct BackupServices {
    const env::Clock& clock;
    vault::Vault& vault;
    hypervisor::Vm& vm;
    Reporter& reporter;
    ConnectGuest connect_guest;
    ConnectNbd connect_nbd;
    SpawnKeeper spawn_keeper;
    env::RandomFn random = env::random_u64;  // chooses what an audit looks at
    /// What the readers of connect_nbd obey; slowed down for the guest's sake. Null: nothing to
    /// slow down.
    std::shared_ptr<capture::Throttle> throttle = nullptr;
};

}  // namespace stillpoint::route
