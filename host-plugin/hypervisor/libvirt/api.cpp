#include "hypervisor/libvirt/api.hpp"

#include <libvirt/virterror.h>

#include <algorithm>
#include <array>

namespace stillpoint::hypervisor::libvirt {
namespace {

struct Meaning {
    int libvirt_code;
    Errc code;
    const char* id;
    const char* remedy;
};

// What a libvirt code means for us; unlisted ones are "io".
constexpr std::array meanings{
    Meaning{VIR_ERR_NO_DOMAIN, Errc::not_found, "vm.not_found", "`virsh list --all` names the VMs"},
    Meaning{VIR_ERR_NO_DOMAIN_CHECKPOINT, Errc::not_found, "bitmap.not_found", ""},
    Meaning{VIR_ERR_CHECKPOINT_INCONSISTENT, Errc::refused, "bitmap.unusable",
            "the next backup reads that disk whole"},
    Meaning{VIR_ERR_OPERATION_TIMEOUT, Errc::busy, "vm.busy",
            "another operation holds the VM; retry when it has ended"},
    Meaning{VIR_ERR_RESOURCE_BUSY, Errc::busy, "vm.busy",
            "retry when the other operation has ended"},
    Meaning{VIR_ERR_BLOCK_COPY_ACTIVE, Errc::busy, "vm.busy", "retry when the block job has ended"},
    Meaning{VIR_ERR_OPERATION_ABORTED, Errc::cancelled, "libvirt.aborted", ""},
    Meaning{VIR_ERR_OPERATION_DENIED, Errc::denied, "libvirt.denied",
            "run as root or as a member of the group libvirt"},
    Meaning{VIR_ERR_ACCESS_DENIED, Errc::denied, "libvirt.denied",
            "libvirt's access rules forbid it"},
    Meaning{VIR_ERR_AUTH_FAILED, Errc::denied, "libvirt.denied", ""},
    Meaning{VIR_ERR_AUTH_CANCELLED, Errc::denied, "libvirt.denied", ""},
    Meaning{VIR_ERR_AUTH_UNAVAILABLE, Errc::denied, "libvirt.denied", ""},
    Meaning{VIR_ERR_OPERATION_INVALID, Errc::refused, "libvirt.refused", ""},
    Meaning{VIR_ERR_NO_SUPPORT, Errc::unsupported, "libvirt.unsupported", ""},
    Meaning{VIR_ERR_OPERATION_UNSUPPORTED, Errc::unsupported, "libvirt.unsupported", ""},
    Meaning{VIR_ERR_CONFIG_UNSUPPORTED, Errc::unsupported, "libvirt.unsupported", ""},
    Meaning{VIR_ERR_ARGUMENT_UNSUPPORTED, Errc::unsupported, "libvirt.unsupported", ""},
};

}  // namespace

Error last_error(const std::string& doing) {
    const virError* error = virGetLastError();
    if (error == nullptr) return {Errc::io, "libvirt.failed", doing + ": unknown failure", ""};
    const std::string text =
        doing + ": " + (error->message != nullptr ? error->message : "no message");
    const auto* meaning = std::find_if(meanings.begin(), meanings.end(), [&](const Meaning& m) {
        return m.libvirt_code == error->code;
    });
    if (meaning == meanings.end()) return {Errc::io, "libvirt.failed", text, ""};
    return {meaning->code, meaning->id, text, meaning->remedy};
}

int last_code() {
    const virError* error = virGetLastError();
    return error == nullptr ? 0 : error->code;
}

}  // namespace stillpoint::hypervisor::libvirt
