#include "os/services.hpp"

#include <windows.h>

#include <array>
#include <cstddef>

#include "os/com.hpp"
#include "os/handle.hpp"

namespace stillpoint::windows_guest::os {
namespace {

using State = ServiceFact::State;
using Start = ServiceFact::Start;

/// A service, closed at the end.
class OpenService {
public:
    OpenService(const char* name, DWORD rights)
        : manager_(::OpenSCManagerW(nullptr, nullptr, SC_MANAGER_CONNECT)),
          service_(manager_ == nullptr ? nullptr
                                       : ::OpenServiceW(manager_, to_wide(name).c_str(), rights)) {}
    OpenService(const OpenService&) = delete;
    OpenService& operator=(const OpenService&) = delete;
    ~OpenService() {
        if (service_ != nullptr) ::CloseServiceHandle(service_);
        if (manager_ != nullptr) ::CloseServiceHandle(manager_);
    }
    [[nodiscard]] SC_HANDLE get() const { return service_; }

private:
    SC_HANDLE manager_;
    SC_HANDLE service_;
};

State state_of(DWORD state) {
    if (state == SERVICE_RUNNING) return State::running;
    return state == SERVICE_STOPPED ? State::stopped : State::changing;
}

Start start_of(DWORD type) {
    if (type == SERVICE_DISABLED) return Start::disabled;
    return type == SERVICE_DEMAND_START ? Start::manual : Start::automatic;
}

}  // namespace

ServiceFact look_at_service(const char* name) {
    ServiceFact fact{.name = name};
    const OpenService service{name, SERVICE_QUERY_CONFIG | SERVICE_QUERY_STATUS};
    SERVICE_STATUS status{};
    if (service.get() == nullptr || !::QueryServiceStatus(service.get(), &status)) return fact;
    fact.state = state_of(status.dwCurrentState);
    // At most so much, by its documentation.
    alignas(std::max_align_t) std::array<std::byte, 8192> room{};
    void* const raw = room.data();
    auto* const config = static_cast<QUERY_SERVICE_CONFIGW*>(raw);
    DWORD bytes = 0;
    if (::QueryServiceConfigW(service.get(), config, static_cast<DWORD>(room.size()), &bytes)) {
        fact.start = start_of(config->dwStartType);
    }
    return fact;
}

Status set_service_start(const char* name, Start start) {
    const OpenService service{name, SERVICE_CHANGE_CONFIG};
    const DWORD type = start == Start::automatic ? SERVICE_AUTO_START
                       : start == Start::manual  ? SERVICE_DEMAND_START
                                                 : SERVICE_DISABLED;
    if (service.get() != nullptr &&
        ::ChangeServiceConfigW(service.get(), SERVICE_NO_CHANGE, type, SERVICE_NO_CHANGE, nullptr,
                               nullptr, nullptr, nullptr, nullptr, nullptr, nullptr)) {
        return {};
    }
    const DWORD error = ::GetLastError();
    return fail(error == ERROR_ACCESS_DENIED ? Errc::denied : Errc::io, "vss.registration",
                "the start type of the service " + std::string(name) + ": " + windows_error(error),
                "run it as an administrator");
}

Status restart_after_failure(const char* name) {
    constexpr DWORD after_ms = 5000;
    constexpr DWORD forgotten_after_s = 86400;
    // The right to start belongs to it, as Windows does that in our name.
    const OpenService service{name, SERVICE_CHANGE_CONFIG | SERVICE_START};
    std::array<SC_ACTION, 3> actions{};
    actions.fill({SC_ACTION_RESTART, after_ms});
    SERVICE_FAILURE_ACTIONSW rules{};
    rules.dwResetPeriod = forgotten_after_s;
    rules.cActions = static_cast<DWORD>(actions.size());
    rules.lpsaActions = actions.data();
    if (service.get() != nullptr &&
        ::ChangeServiceConfig2W(service.get(), SERVICE_CONFIG_FAILURE_ACTIONS, &rules)) {
        return {};
    }
    return call_failed(std::string("have the service ") + name + " started after a failure");
}

}  // namespace stillpoint::windows_guest::os
