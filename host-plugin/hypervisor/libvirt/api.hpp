#pragma once
#include <libvirt/libvirt.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "base/result.hpp"

/// The libvirt driver: see hypervisor.hpp for the contract it fulfils.
namespace stillpoint::hypervisor::libvirt {

/// Ends the life of libvirt's objects.
struct Release {
    void operator()(virConnectPtr connect) const noexcept { virConnectClose(connect); }
    void operator()(virDomainPtr domain) const noexcept { virDomainFree(domain); }
    void operator()(virDomainCheckpointPtr point) const noexcept { virDomainCheckpointFree(point); }
    void operator()(char* text) const noexcept { std::free(text); }
};

using Domain = std::shared_ptr<virDomain>;  // shared: a call that outlived its deadline may hold it
using Checkpoint = std::unique_ptr<virDomainCheckpoint, Release>;
using Text = std::unique_ptr<char, Release>;

/// The Error of the calling thread's last libvirt failure; call right after it.
/// @param doing verb and object, e.g. "look up VM web1"
[[nodiscard]] Error last_error(const std::string& doing);

/// libvirt's code of the calling thread's last failure (VIR_ERR_…); 0: none.
[[nodiscard]] int last_code();

}  // namespace stillpoint::hypervisor::libvirt
