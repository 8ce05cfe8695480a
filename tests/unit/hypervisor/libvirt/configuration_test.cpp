#include "hypervisor/libvirt/configuration.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::hypervisor;
using namespace stillpoint::hypervisor::libvirt;
using serialization::ConfigurationKind;

namespace {

const DomainHome running{.active = true, .swtpm_folder = "/tpms"};
const DomainHome off{.active = false, .swtpm_folder = "/tpms"};

std::vector<ConfigurationPlace> places(const std::string& os, const std::string& devices = {},
                                       const DomainHome& home = running) {
    const auto found = configuration_places(
        "<domain><uuid>u-1</uuid>" + os + "<devices>" + devices + "</devices></domain>", home);
    REQUIRE(found);
    return *found;
}

std::string tpm(const std::string& backend) {
    return "<tpm model='tpm-crb'>" + backend + "</tpm>";
}

}  // namespace

TEST_CASE("libvirt/configuration: the file of UEFI variables, in both spellings") {
    CHECK(places("<os><type>hvm</type></os>").empty());
    const auto plain = places("<os><nvram template='/t'>/n/web1_VARS.fd</nvram></os>");
    REQUIRE(plain.size() == 1);
    CHECK(plain[0].kind == ConfigurationKind::nvram);
    CHECK(plain[0].path == "/n/web1_VARS.fd");
    CHECK(plain[0].obstacle.empty());
    const auto typed = places("<os><nvram type='file'><source file='/n/v.fd'/></nvram></os>");
    CHECK(typed.at(0).path == "/n/v.fd");
    const auto whole = places("<os><loader type='pflash' readonly='no'>/n/all.fd</loader></os>");
    CHECK(whole.at(0).path == "/n/all.fd");
}

TEST_CASE("libvirt/configuration: variables that cannot be read are named") {
    const std::string qcow2 = "<os><nvram format='qcow2'>/n/v.qcow2</nvram></os>";
    CHECK_FALSE(places(qcow2).at(0).obstacle.empty());
    CHECK(places(qcow2, {}, off).at(0).obstacle.empty());
    CHECK_FALSE(places("<os><nvram type='network'><source protocol='nbd'/></nvram></os>")
                    .at(0)
                    .obstacle.empty());
    CHECK_FALSE(places("<os firmware='efi'/>").at(0).obstacle.empty());
    CHECK(places("<os firmware='efi'><loader stateless='yes'/></os>").empty());
    CHECK(places("<os firmware='bios'/>").empty());
}

TEST_CASE("libvirt/configuration: the folder of an emulated TPM's state") {
    const auto two = places("", tpm("<backend type='emulator' version='2.0'/>"));
    REQUIRE(two.size() == 1);
    CHECK(two[0].kind == ConfigurationKind::tpm);
    CHECK(two[0].holds == ConfigurationPlace::Holds::folder);
    CHECK(two[0].path == "/tpms/u-1/tpm2");
    const auto one = places("", tpm("<backend type='emulator' version='1.2'/>"));
    CHECK(one.at(0).path == "/tpms/u-1/tpm1.2");
    const auto file =
        places("", tpm("<backend type='emulator'><source type='file' path='/t/s'/></backend>"));
    CHECK(file.at(0).path == "/t/s");
    CHECK(file.at(0).holds == ConfigurationPlace::Holds::file);
}

TEST_CASE("libvirt/configuration: a TPM whose state is elsewhere is named, a secret noted") {
    CHECK_FALSE(places("", tpm("<backend type='passthrough'/>")).at(0).obstacle.empty());
    CHECK_FALSE(places("", tpm("<backend type='external'/>")).at(0).obstacle.empty());
    const auto secret =
        places("", tpm("<backend type='emulator'><encryption secret='s-1'/></backend>"));
    CHECK(secret.at(0).note.find("s-1") != std::string::npos);
    CHECK(places("", "<tpm model='spapr-tpm-proxy'><backend type='passthrough'/></tpm>").empty());
    CHECK(configuration_places("<x/>", running).error().id == "libvirt.xml");
}

TEST_CASE("libvirt/configuration: where swtpm works depends on whose daemon it is") {
    CHECK(swtpm_folder_of("qemu:///system", "/u/.config") == "/var/lib/libvirt/swtpm");
    CHECK(swtpm_folder_of("qemu:///session?x=1", "/u/.config") == "/u/.config/libvirt/qemu/swtpm");
}
