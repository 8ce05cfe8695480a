#include "service/doctor.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace stillpoint::test {
namespace {

using namespace windows_guest;
using serialization::Diagnosis;
using serialization::Finding;
using State = ServiceFact::State;
using Start = ServiceFact::Start;
using Writers = VssResult<std::vector<WriterStatus>>;

MachineFacts healthy() {
    MachineFacts facts;
    facts.realtime_ns = 7;
    for (const char* name : examined_services) {
        facts.services.push_back({name, State::running, Start::automatic});
    }
    facts.provider = {true, STILLPOINT_VERSION, {}};
    facts.volumes = {{{"C:\\", "\\\\?\\Volume{1}\\", "NTFS"}, 10ull << 30}};
    return facts;
}

ServiceFact& service(MachineFacts& facts, std::string_view name) {
    return *std::ranges::find(facts.services, name, &ServiceFact::name);
}

const std::vector<WriterStatus> stable{
    {"System Writer", "{1}", "{2}", WriterState::stable, vss::ok}};

/// "severity object" of each finding with this id.
std::vector<std::string> found(const Diagnosis& diagnosis, const std::string& id) {
    std::vector<std::string> all;
    for (const Finding& finding : diagnosis.findings) {
        if (finding.id == id) all.push_back(finding.severity + " " + finding.object);
    }
    return all;
}

using Found = std::vector<std::string>;

}  // namespace

TEST_CASE("windows/doctor: a healthy machine has nothing to repair") {
    const Diagnosis diagnosis = diagnose(healthy(), stable);
    CHECK_FALSE(needs_repair(diagnosis));
    CHECK(diagnosis.realtime_ns == 7);
    REQUIRE(diagnosis.mounts.size() == 1);
    CHECK(diagnosis.mounts[0].name == "C:\\");
    CHECK(std::ranges::all_of(diagnosis.findings,
                              [](const Finding& finding) { return finding.severity == "ok"; }));
    CHECK(found(diagnosis, "doctor.writer") == Found{"ok System Writer"});
}

TEST_CASE("windows/doctor: what needs repair says what to do") {
    MachineFacts facts;  // nothing of it is there
    facts.port = PortState::missing;
    facts.administrator = false;
    facts.restart_reasons = {"updates were installed"};
    const Diagnosis diagnosis =
        diagnose(facts, tl::unexpected(VssError{"open", vss::writer_infrastructure, {}}));
    for (const Finding& finding : diagnosis.findings) {
        CAPTURE(finding.id);
        CHECK(finding.severity != "ok");
        CHECK(
            (finding.severity == "note" || finding.id == "doctor.vss" || !finding.remedy.empty()));
    }
    for (const char* id :
         {"doctor.rights", "doctor.service", "doctor.driver", "doctor.vss", "doctor.base_service",
          "doctor.provider", "doctor.writers", "doctor.volume", "doctor.restart", "doctor.clock"}) {
        CAPTURE(id);
        CHECK_FALSE(found(diagnosis, id).empty());
    }
}

TEST_CASE("windows/doctor: services") {
    MachineFacts facts = healthy();
    const auto judged = [&](const std::string& id) { return found(diagnose(facts, stable), id); };
    service(facts, own_service).state = State::stopped;
    CHECK(judged("doctor.service") == Found{"warning stillpoint-guest"});
    service(facts, own_service) = {own_service, State::running, Start::manual};
    CHECK(judged("doctor.service") == Found{"warning stillpoint-guest"});
    service(facts, "VSS").start = Start::manual;
    CHECK(judged("doctor.vss") == Found{"note VSS"});
    service(facts, "VSS").start = Start::disabled;
    CHECK(judged("doctor.vss") == Found{"error VSS"});
    service(facts, "EventSystem").state = State::changing;
    CHECK(judged("doctor.base_service") == Found{"error EventSystem"});
    service(facts, "COMSysApp").start = Start::disabled;
    CHECK(judged("doctor.base_service") == Found{"error EventSystem", "warning COMSysApp"});
}

TEST_CASE("windows/doctor: the port, and the driver below it") {
    MachineFacts facts = healthy();
    const std::string port = "org.stillpoint.guest.0";
    const auto judged = [&] { return found(diagnose(facts, stable), "doctor.channel"); };
    CHECK(judged() == Found{"ok " + port});
    facts.port = PortState::unused;
    CHECK(judged() == Found{"note " + port});
    facts.port = PortState::denied;
    CHECK(judged() == Found{"warning " + port});
    facts.port = PortState::missing;
    CHECK(judged() == Found{"error " + port});
    service(facts, port_driver).state = State::missing;
    CHECK(judged().empty());  // the driver is the reason
    CHECK(found(diagnose(facts, stable), "doctor.driver") == Found{"error VirtioSerial"});
}

TEST_CASE("windows/doctor: the provider's two registrations, and another release's") {
    MachineFacts facts = healthy();
    const auto judged = [&] { return found(diagnose(facts, stable), "doctor.provider"); };
    facts.provider.version = "0.0.1";
    CHECK(judged() == Found{"warning "});
    facts.provider.version.clear();
    CHECK(judged() == Found{"error "});
    facts.provider.problem = Error{Errc::denied, "vss.denied", "no", "run it as administrator"};
    CHECK(judged() == Found{"warning "});
    facts.provider.known_to_com = false;
    CHECK(judged() == Found{"error "});
}

TEST_CASE("windows/doctor: a writer's last state, with the service behind it") {
    const std::vector<WriterStatus> writers{
        {"System Writer", "{1}", "{2}", WriterState::waiting_for_backup_complete, vss::ok},
        {"SqlServerWriter", "{3}", "{4}", WriterState::failed_at_freeze, vss::writer_timeout},
        {"WMI Writer", "{5}", "{6}", WriterState::failed_at_backup_complete, vss::ok},
        {"", "{7}", "{8}", WriterState::unknown, vss::ok}};
    const Diagnosis diagnosis = diagnose(healthy(), writers);
    CHECK(found(diagnosis, "doctor.writer") ==
          Found{"ok System Writer", "warning SqlServerWriter", "note WMI Writer", "warning {7}"});
    const auto sql = std::ranges::find(diagnosis.findings, "SqlServerWriter", &Finding::object);
    CHECK(sql->text.find("FAILED_AT_FREEZE, VSS_E_WRITERERROR_TIMEOUT") != std::string::npos);
    CHECK(sql->remedy == "restart the Windows service SQLWriter");
    CHECK(found(diagnose(healthy(), Writers{}), "doctor.writers") == Found{"error "});
}

TEST_CASE("windows/doctor: volumes that are not held still, and those without room") {
    MachineFacts facts = healthy();
    facts.volumes.push_back({{"D:\\", "{}", "FAT32", true, "VSS cannot hold FAT32"}, 0});
    facts.volumes.push_back({{"E:\\", "{}", "", true, "cannot be read (locked?)"}, 0});
    facts.volumes.push_back({{"F:\\", "{}", "NTFS"}, 1u << 20});
    const Diagnosis diagnosis = diagnose(facts, stable);
    CHECK(found(diagnosis, "doctor.volume") == Found{"note D:\\", "warning E:\\"});
    CHECK(found(diagnosis, "doctor.space") == Found{"warning F:\\"});
    CHECK(diagnosis.mounts.size() == 4);
}

}  // namespace stillpoint::test
