#include "service/guest_service.hpp"

#include <thread>

#include "channel/host_port.hpp"
#include "hooks/hook_list.hpp"
#include "hooks/hook_runner.hpp"
#include "hooks/journal_file.hpp"
#include "os/com.hpp"
#include "os/com_security.hpp"
#include "os/data_folder.hpp"
#include "os/machine_facts.hpp"
#include "os/services.hpp"
#include "os/trusted_path.hpp"
#include "os/volumes.hpp"
#include "provider/registration.hpp"
#include "provider/snapshot_provider.hpp"
#include "service/guest_config_file.hpp"
#include "vss/com_session.hpp"

namespace stillpoint::windows_guest {
namespace {

void prepare_com(const GuestLog::Write& log) {
    if (const Status rules = os::initialize_com_security(); !rules) {
        log(Severity::warning, rules.error().text);
    }
}

/// What the extension needs of Windows, as far as it can be had.
void put_right(const std::function<void(const std::string&)>& complain) {
    if (const Status known = register_provider(); !known) complain(known.error().text);
}

/// What guest.xml says, and what the command line says in place of it.
Result<GuestConfig> configure(const ServiceOptions& options) {
    const std::string file =
        options.config.empty() ? os::data_folder() + "\\guest.xml" : options.config;
    SP_ASSIGN(GuestConfig config, load_guest_config(file, os::trust_of_process()));
    if (options.type) config.type = options.type;
    return config;
}

/// The one of guest.xml, then the folder's.
std::vector<hooks::Hook> configured_hooks(const GuestConfig& config, const HookWorkerLog& log) {
    const os::TrustRules trust = os::trust_of_process();
    const hooks::HookSource source{[&] { return os::list_trusted(config.hooks_folder, trust); },
                                   [&](const std::string& path, std::size_t bytes_max) {
                                       return os::read_trusted(path, bytes_max, trust);
                                   },
                                   hooks::Dialect::windows};
    hooks::HookFolder folder = hooks::read_hooks(source, config.hooks_folder, config.hook_defaults);
    for (const std::string& name : folder.ignored) {
        log(config.hooks_folder + "\\" + name + " is no hook: its name is not NN-name", false);
    }
    if (config.hook) folder.hooks.insert(folder.hooks.begin(), *config.hook);
    return std::move(folder.hooks);
}

/// Hooks of this machine, with the thread that runs them.
class Hooks {
public:
    Hooks(const std::string& folder, Inbox& inbox)
        : system_({folder + "\\state",
                   os::trust_of_process(),
                   {os::windows_folder()},
                   own_environment()}),
          journal_(folder, os::trust_of_process()),
          log_([&inbox](const std::string& text, bool good) {
              inbox.post(LogLine{text, good ? Severity::info : Severity::warning});
          }),
          worker_({system_, journal_, known_boot(),
                   [this](const GuestConfig& config) { return configured_hooks(config, log_); },
                   [&inbox](HookReport report) { inbox.post(std::move(report)); }, log_}) {}
    HookWorker& worker() { return worker_; }

private:
    std::string known_boot() {
        auto id = boot_id();
        if (!id) log_(id.error().text, false);
        return id.value_or("");
    }
    SystemHooks system_;
    HookJournalFile journal_;
    HookWorkerLog log_;
    HookWorker worker_;
};

}  // namespace

Status serve(const ServiceOptions& options, const GuestLog::Write& log,
             const std::function<void()>& wait_for_stop) {
    const os::Apartment apartment;
    prepare_com(log);
    SP_TRY(configure(options));
    os::Event wake;
    Inbox inbox{wake};
    HoldGate gate{wake};
    auto provider = ProviderServer::start(gate);
    if (!provider) log(Severity::error, provider.error().text);
    // At every start: another program's clean-up may have taken the registration away.
    put_right([&](const std::string& text) { log(Severity::warning, text); });
    // In a console there may be no service, and nothing to say about that.
    const Status again = os::restart_after_failure(own_service);
    if (!again && again.error().code != Errc::not_found) log(Severity::warning, again.error().text);
    VssWorker worker{
        {.open = make_com_session,
         .repair = [&] { put_right([&](const std::string& text) { inbox.post(LogLine{text}); }); },
         .deliver = [&](WorkerReport report) { inbox.post(std::move(report)); },
         .examine = [](const auto& writers) { return diagnose(os::look_at_machine({}), writers); },
         .enter_thread = [] { return std::shared_ptr<void>{std::make_shared<os::Apartment>()}; }}};
    Hooks hooks{os::data_folder(), inbox};
    HostPort::Parts port;
    if (!options.channel.empty()) port.path = options.channel;
    port.take = [&](InboxItem item) { inbox.post(std::move(item)); };
    HostPort line{std::move(port)};
    GuestLog agent_log{log};
    Agent agent{AgentRules{},
                {line, inbox, wake, gate, worker, hooks.worker(), agent_log, os::list_volumes,
                 os::flush_volume, list_changes, os::windows_release(),
                 [&] { return configure(options); }}};
    log(Severity::info, "started version=" STILLPOINT_VERSION);
    std::thread serving{[&] { agent.run(); }};
    wait_for_stop();
    inbox.post(StopAsked{});
    serving.join();
    log(Severity::info, "stopped");
    return {};
}

serialization::Diagnosis examine_machine(const ServiceOptions& options,
                                         const GuestLog::Write& log) {
    const os::Apartment apartment;
    prepare_com(log);
    VssBackup writers{{.open = make_com_session}};
    return diagnose(os::look_at_machine(options.channel.empty() ? default_port : options.channel),
                    writers.look());
}

}  // namespace stillpoint::windows_guest
