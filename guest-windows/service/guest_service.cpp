#include "service/guest_service.hpp"

#include <thread>

#include "channel/host_port.hpp"
#include "os/com.hpp"
#include "os/com_security.hpp"
#include "os/volumes.hpp"
#include "provider/registration.hpp"
#include "provider/snapshot_provider.hpp"
#include "vss/com_session.hpp"

namespace stillpoint::windows_guest {
namespace {

/// What the doctor can say without changing anything.
serialization::Diagnosis examine() {
    serialization::Diagnosis diagnosis;
    for (const GuestVolume& volume : os::list_volumes()) {
        diagnosis.mounts.push_back(
            {volume.name, volume.type, volume.guid, 0, false, 0, 0, 0, volume.note});
    }
    return diagnosis;
}

}  // namespace

Status serve(const ServiceOptions& options, const GuestLog::Write& log,
             const std::function<void()>& wait_for_stop) {
    const os::Apartment apartment;
    if (const Status rules = os::initialize_com_security(); !rules) {
        log(Severity::warning, rules.error().text);
    }
    os::Event wake;
    Inbox inbox{wake};
    HoldGate gate{wake};
    auto provider = ProviderServer::start(gate);
    if (!provider) log(Severity::error, provider.error().text);
    // At every start: another program's clean-up may have taken the registration away.
    if (const Status known = register_provider(); !known) {
        log(Severity::warning, known.error().text);
    }
    VssWorker worker{
        {.open = make_com_session,
         .excluded_writers = options.excluded_writers,
         .deliver = [&](WorkerReport report) { inbox.post(std::move(report)); },
         .enter_thread = [] { return std::shared_ptr<void>{std::make_shared<os::Apartment>()}; }}};
    HostPort::Parts port;
    if (!options.channel.empty()) port.path = options.channel;
    port.take = [&](InboxItem item) { inbox.post(std::move(item)); };
    HostPort line{std::move(port)};
    GuestLog agent_log{log};
    Agent agent{options.rules,
                {line, inbox, wake, gate, worker, agent_log, os::list_volumes, os::flush_volume,
                 examine, os::windows_release()}};
    log(Severity::info, "started version=" STILLPOINT_VERSION);
    std::thread serving{[&] { agent.run(); }};
    wait_for_stop();
    inbox.post(StopAsked{});
    serving.join();
    log(Severity::info, "stopped");
    return {};
}

}  // namespace stillpoint::windows_guest
