#include "service/doctor.hpp"

#include <algorithm>

#include "vss/vss_backup.hpp"

namespace stillpoint::windows_guest {
namespace {

using serialization::Finding;
using Findings = std::vector<Finding>;
using State = ServiceFact::State;
using Start = ServiceFact::Start;

// Writers put their metadata and logs there; our provider itself stores nothing in the guest.
constexpr std::uint64_t free_bytes_min = 64u << 20;
constexpr const char* vss_events = "see the event log \"Application\", sources VSS and volsnap";

ServiceFact fact_of(const MachineFacts& facts, std::string_view name) {
    const auto found = std::ranges::find(facts.services, name, &ServiceFact::name);
    return found == facts.services.end() ? ServiceFact{.name = std::string(name)} : *found;
}

void add_rights(const MachineFacts& facts, Findings& out) {
    if (facts.administrator) return;
    out.push_back({"doctor.rights", "warning", "",
                   "not run by an administrator: what follows is incomplete",
                   "run the doctor in an administrator's console"});
}

void add_own_service(const MachineFacts& facts, Findings& out) {
    const ServiceFact service = fact_of(facts, own_service);
    if (service.state == State::missing) {
        out.push_back({"doctor.service", "warning", own_service, "the service is not installed",
                       "stillpoint-guest.exe --registerService --startup=automatic"});
    } else if (service.state != State::running) {
        out.push_back({"doctor.service", "warning", own_service, "the service does not run",
                       "net start stillpoint-guest"});
    } else if (service.start != Start::automatic) {
        out.push_back({"doctor.service", "warning", own_service,
                       "the service does not start with Windows",
                       "sc config stillpoint-guest start= auto"});
    } else {
        out.push_back({"doctor.service", "ok", own_service, "runs", ""});
    }
}

void add_port(const MachineFacts& facts, Findings& out) {
    constexpr const char* port = "org.stillpoint.guest.0";
    if (fact_of(facts, port_driver).state == State::missing) {
        out.push_back({"doctor.driver", "error", port_driver,
                       "the driver for the port to the host is not installed",
                       "install vioserial from the virtio-win drivers"});
    } else if (facts.port == PortState::missing) {
        out.push_back({"doctor.channel", "error", port, "the VM has no such port",
                       "add a virtio-serial channel of this name to the VM"});
    }
    if (facts.port == PortState::missing) return;
    if (facts.port == PortState::in_use) {
        out.push_back({"doctor.channel", "ok", port, "the port is open", ""});
    } else if (facts.port == PortState::unused) {
        out.push_back({"doctor.channel", "note", port,
                       "the port is there, and nobody has opened it", "start the service"});
    } else {
        out.push_back({"doctor.channel", "warning", port, "the port cannot be opened", ""});
    }
}

void add_vss_service(const MachineFacts& facts, Findings& out) {
    const ServiceFact service = fact_of(facts, "VSS");
    if (service.state == State::missing) {
        out.push_back({"doctor.vss", "error", "VSS", "this system has no VSS", ""});
    } else if (service.start == Start::disabled) {
        out.push_back({"doctor.vss", "error", "VSS", "the service VSS is disabled",
                       "set its start type to automatic: sc config VSS start= auto"});
    } else if (service.start == Start::manual) {
        out.push_back({"doctor.vss", "note", "VSS",
                       "the service VSS is started by hand or on demand",
                       "the service stillpoint-guest makes it automatic when it starts"});
    } else {
        out.push_back({"doctor.vss", "ok", "VSS", "starts with Windows", ""});
    }
}

/// What VSS and its writers stand on.
void add_base_services(const MachineFacts& facts, Findings& out) {
    for (const char* name : {"RpcSs", "EventSystem"}) {
        if (fact_of(facts, name).state == State::running) continue;
        out.push_back({"doctor.base_service", "error", name,
                       "does not run, and VSS cannot reach its writers without it",
                       "set it to automatic and start it"});
    }
    if (fact_of(facts, "COMSysApp").start == Start::disabled) {
        out.push_back({"doctor.base_service", "warning", "COMSysApp",
                       "is disabled; writers of COM+ need it",
                       "sc config COMSysApp start= demand"});
    }
}

void add_provider(const MachineFacts& facts, Findings& out) {
    constexpr const char* register_it = "run stillpoint-guest.exe register-provider";
    const ProviderFact& provider = facts.provider;
    if (!provider.known_to_com) {
        out.push_back({"doctor.provider", "error", "",
                       "the snapshot provider is not registered with COM", register_it});
    } else if (provider.problem) {
        out.push_back({"doctor.provider", "warning", "",
                       "VSS does not list its providers: " + provider.problem->text,
                       provider.problem->remedy});
    } else if (provider.version.empty()) {
        out.push_back({"doctor.provider", "error", "", "VSS does not list our snapshot provider",
                       register_it});
    } else if (provider.version != STILLPOINT_VERSION) {
        out.push_back({"doctor.provider", "warning", "",
                       "VSS lists the snapshot provider of version " + provider.version,
                       register_it});
    } else {
        out.push_back({"doctor.provider", "ok", "", "the snapshot provider is registered", ""});
    }
}

Finding judge(const WriterStatus& writer) {
    // What it did last: nothing of ours is under way, so it ought to rest.
    const WriterVerdict verdict = judge_writer(StatusPhase::prepared, writer.state, writer.failure);
    const std::string name = writer.name.empty() ? writer.class_id : writer.name;
    if (verdict == WriterVerdict::stable) return {"doctor.writer", "ok", name, "stable", ""};
    const std::string_view service = service_of_writer(writer.name);
    return {"doctor.writer", verdict == WriterVerdict::alert ? "note" : "warning", name,
            "failed when it was last asked: " + name_of(writer.state) + ", " +
                code_text(writer.failure),
            service.empty() ? "restart the Windows service that it belongs to"
                            : "restart the Windows service " + std::string(service)};
}

void add_writers(const VssResult<std::vector<WriterStatus>>& writers, Findings& out) {
    if (!writers) {
        const Error why = describe(writers.error());
        out.push_back({"doctor.writers", "error", "", "VSS does not list its writers: " + why.text,
                       why.remedy.empty() ? vss_events : why.remedy});
        return;
    }
    if (writers->empty()) {
        out.push_back({"doctor.writers", "error", "", "VSS has no writers at all", vss_events});
    }
    for (const WriterStatus& writer : *writers) out.push_back(judge(writer));
}

void add_volumes(const MachineFacts& facts, serialization::Diagnosis& out) {
    bool any = false;
    for (const auto& [volume, free_bytes] : facts.volumes) {
        out.mounts.push_back(
            {volume.name, volume.type, volume.guid, 0, false, 0, 0, 0, volume.note});
        if (!volume.note.empty()) {
            // One whose kind is not even known cannot be read: locked, or damaged.
            out.findings.push_back({"doctor.volume", volume.type.empty() ? "warning" : "note",
                                    volume.name, "is not held still: " + volume.note,
                                    volume.type.empty() ? "unlock or repair it" : ""});
            continue;
        }
        any = true;
        if (free_bytes >= free_bytes_min) continue;
        out.findings.push_back({"doctor.space", "warning", volume.name,
                                "only " + std::to_string(free_bytes >> 20) + " MiB are free",
                                "make room: VSS's writers need some to freeze"});
    }
    if (any) return;
    out.findings.push_back({"doctor.volume", "error", "", "there is no volume that VSS can hold",
                            "volumes have to be NTFS or ReFS, on fixed disks"});
}

void add_restart(const MachineFacts& facts, Findings& out) {
    for (const std::string& reason : facts.restart_reasons) {
        out.push_back({"doctor.restart", "warning", "", "Windows waits for a restart: " + reason,
                       "restart it before VSS is blamed for anything"});
    }
}

void add_clock(const MachineFacts& facts, Findings& out) {
    if (fact_of(facts, "W32Time").state == State::running) return;
    out.push_back({"doctor.clock", "note", "", "Windows' time service does not run",
                   "start W32Time, unless another program keeps the clock"});
}

}  // namespace

serialization::Diagnosis diagnose(const MachineFacts& facts,
                                  const VssResult<std::vector<WriterStatus>>& writers) {
    serialization::Diagnosis diagnosis;
    diagnosis.realtime_ns = facts.realtime_ns;
    add_rights(facts, diagnosis.findings);
    add_own_service(facts, diagnosis.findings);
    add_port(facts, diagnosis.findings);
    add_vss_service(facts, diagnosis.findings);
    add_base_services(facts, diagnosis.findings);
    add_provider(facts, diagnosis.findings);
    add_writers(writers, diagnosis.findings);
    add_volumes(facts, diagnosis);
    add_restart(facts, diagnosis.findings);
    add_clock(facts, diagnosis.findings);
    return diagnosis;
}

}  // namespace stillpoint::windows_guest
