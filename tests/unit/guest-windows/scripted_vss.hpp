#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "provider/hold_gate.hpp"
#include "vss/vss_session.hpp"

/// VSS by a script, at the seam that the requester uses; calls our gate as VSS's provider would.
namespace stillpoint::test {

/// @threads any
class ScriptedVss {
public:
    /// How the next calls of this name end, in this order; then they succeed.
    std::map<std::string, std::vector<windows_guest::Hresult>> ends;
    /// What each writer says after a call; absent: all is well.
    std::map<std::string, std::vector<windows_guest::WriterStatus>> says;
    std::vector<std::string> writers{"System Writer", "Registry Writer", "SqlServerWriter"};
    std::vector<std::string> succeeded;       // instances that were told so at the end
    windows_guest::HoldGate* gate = nullptr;  // nullptr: another provider takes the snapshot
    std::function<void()> before_commit;      // on VSS's thread
    /// Waited for before the writers' status is told; given whether it was cancelled meanwhile.
    std::function<void(const std::atomic<bool>& cancelled)> before_status;

    [[nodiscard]] windows_guest::OpenVss opener();
    /// The calls so far, one word each, in their order.
    [[nodiscard]] std::string calls();
    [[nodiscard]] std::vector<windows_guest::WriterStatus> status_after(const std::string& call);
    /// @param object that the call is about; such a call is not noted
    windows_guest::VssStatus play(const std::string& call, const std::string& object = {});

private:
    std::mutex lock_;
    std::string calls_;
};

}  // namespace stillpoint::test
