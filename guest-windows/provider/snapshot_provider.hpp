#pragma once
#include <memory>

#include "base/result.hpp"
#include "provider/hold_gate.hpp"

namespace stillpoint::windows_guest {

/// Our VSS software provider, hosted by this process: VSS asks COM for its class, COM asks us. It
/// takes no snapshot; the host does, while CommitSnapshots waits at the gate.
/// @threads made and destroyed by one, in the multithreaded apartment; called by COM's
class ProviderServer {
public:
    /// @errors io, id "vss.provider": the class cannot be registered with COM
    static Result<std::unique_ptr<ProviderServer>> start(HoldGate& gate);
    ProviderServer(const ProviderServer&) = delete;
    ProviderServer& operator=(const ProviderServer&) = delete;
    ~ProviderServer();

private:
    struct Objects;
    explicit ProviderServer(std::unique_ptr<Objects> objects);
    std::unique_ptr<Objects> objects_;
};

}  // namespace stillpoint::windows_guest
