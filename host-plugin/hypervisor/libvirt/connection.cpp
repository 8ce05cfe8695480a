#include "hypervisor/libvirt/connection.hpp"

#include <libvirt/virterror.h>

#include <array>
#include <string_view>

namespace stillpoint::hypervisor::libvirt {
namespace {

constexpr unsigned long libvirt_version_min = 7'002'000;  // incremental backup, on by default
constexpr int keepalive_interval_s = 5;  // a dead daemon ends our calls after about 30 s
constexpr unsigned keepalive_count = 5;

// "qemu+ssh://host/system" has a host between the slashes, "qemu:///system" has none.
bool names_a_host(std::string_view uri) {
    const auto slashes = uri.find("://");
    return slashes != std::string_view::npos && uri.substr(slashes + 3, 1) != "/";
}

Error connect_error(const std::string& uri) {
    Error error = last_error("connect to libvirt at " + uri);
    if (error.code == Errc::denied) return error;
    error.code = Errc::io;
    error.id = "libvirt.connect";
    error.remedy = "see whether libvirtd runs and the URI is right: virsh -c " + uri + " version";
    return error;
}

Status check_driver(virConnectPtr connect, const std::string& uri) {
    const char* type = virConnectGetType(connect);
    if (type == nullptr || std::string_view{type} != "QEMU") {
        return fail(
            Errc::unsupported, "libvirt.driver",
            uri + " does not run QEMU but " + (type != nullptr ? type : "something unknown"),
            "use a URI such as qemu:///system");
    }
    unsigned long version = 0;
    if (virConnectGetLibVersion(connect, &version) < 0) return fail(connect_error(uri));
    if (version < libvirt_version_min) {
        return fail(Errc::unsupported, "libvirt.version",
                    "libvirt " + std::to_string(version / 1'000'000) + "." +
                        std::to_string(version / 1000 % 1000) + " at " + uri +
                        " cannot do incremental backups",
                    "libvirt 7.2 or newer is needed; or back up over QMP");
    }
    return {};
}

std::string uuid_of(virDomainPtr domain) {
    std::array<char, VIR_UUID_STRING_BUFLEN> text{};
    return virDomainGetUUIDString(domain, text.data()) == 0 ? text.data() : "";
}

Result<Domain> look_up(virConnectPtr connect, const std::string& vm, const std::string& uri) {
    const auto own = [](virDomainPtr found) {
        return found == nullptr ? Domain{} : Domain{found, Release{}};
    };
    const Domain by_name = own(virDomainLookupByName(connect, vm.c_str()));
    if (!by_name && last_code() != VIR_ERR_NO_DOMAIN) return fail(last_error("look up VM " + vm));
    const Domain by_uuid = own(virDomainLookupByUUIDString(connect, vm.c_str()));
    if (by_name && by_uuid && uuid_of(by_name.get()) != uuid_of(by_uuid.get())) {
        return fail(Errc::invalid, "vm.ambiguous", vm + " is one VM's name and another VM's UUID",
                    "give the other one of the two");
    }
    if (by_name) return by_name;
    if (by_uuid) return by_uuid;
    return fail(Errc::not_found, "vm.not_found", "no VM has the name or UUID " + vm + " at " + uri,
                "`virsh -c " + uri + " list --all` names the VMs");
}

}  // namespace

Connection::Connection(Key, std::string uri, std::shared_ptr<EventLoop> loop)
    : uri_(std::move(uri)),
      remote_(names_a_host(uri_)),
      loop_(std::move(loop)),
      handle_(std::make_shared<Handle>()) {}

Connection::~Connection() {
    // Its answer is not waited for: the lane's own end waits, with a limit.
    lane_.start<void>("close the connection", [handle = handle_]() -> Status {
        handle->reset();
        return {};
    });
}

Result<std::shared_ptr<Connection>> Connection::open(const std::string& uri, LibvirtLoop loop,
                                                     const env::Deadline& deadline) {
    std::shared_ptr<EventLoop> runner;
    if (loop == LibvirtLoop::ours) {
        SP_ASSIGN(runner, EventLoop::running());
    }
    auto connection = std::make_shared<Connection>(Key{}, uri, std::move(runner));
    SP_TRY(connection->open_handle(deadline));
    return connection;
}

Status Connection::open_handle(const env::Deadline& deadline) {
    return lane_.run<void>(
        deadline, "connect to libvirt at " + uri_, [handle = handle_, uri = uri_]() -> Status {
            handle->reset(virConnectOpen(uri.c_str()));
            if (!*handle) return fail(connect_error(uri));
            SP_TRY(check_driver(handle->get(), uri));
            // Refused by drivers that live in our own process: nothing to keep.
            virConnectSetKeepAlive(handle->get(), keepalive_interval_s, keepalive_count);
            return {};
        });
}

Result<Domain> Connection::find(const std::string& vm, const env::Deadline& deadline) {
    return call<Domain>(deadline, "look up VM " + vm, [vm, uri = uri_](virConnectPtr connect) {
        return look_up(connect, vm, uri);
    });
}

}  // namespace stillpoint::hypervisor::libvirt
