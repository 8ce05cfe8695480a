#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "hypervisor/hypervisor.hpp"
#include "hypervisor/libvirt/api.hpp"
#include "hypervisor/libvirt/event_loop.hpp"
#include "hypervisor/libvirt/lane.hpp"

namespace stillpoint::hypervisor::libvirt {

/// An open connection to a libvirt daemon that runs QEMU. Calls go through its lane.
/// @threads any
class Connection {
    struct Key {};

public:
    /// @param uri e.g. qemu:///system
    /// @errors io, id "libvirt.connect" · denied · unsupported: not QEMU, or libvirt before 7.2
    static Result<std::shared_ptr<Connection>> open(const std::string& uri, LibvirtLoop loop,
                                                    const env::Deadline& deadline);
    Connection(Key, std::string uri, std::shared_ptr<EventLoop> loop);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection();

    /// @param vm name or UUID
    /// @errors not_found, id "vm.not_found" · invalid, id "vm.ambiguous"
    Result<Domain> find(const std::string& vm, const env::Deadline& deadline);

    /// Makes a call on the connection's thread; `call` gets the connection and captures by value.
    template <class T>
    Pending<T> start(std::string doing, std::function<Result<T>(virConnectPtr)> call) {
        return lane_.start<T>(std::move(doing), [handle = handle_, call = std::move(call)] {
            return call(handle->get());
        });
    }
    template <class T>
    Result<T> call(const env::Deadline& deadline, std::string doing,
                   std::function<Result<T>(virConnectPtr)> call) {
        return start<T>(std::move(doing), std::move(call)).wait(deadline);
    }

    [[nodiscard]] const std::string& uri() const { return uri_; }
    /// The daemon is on another machine: its sockets and files are out of reach.
    [[nodiscard]] bool remote() const { return remote_; }

private:
    using Handle = std::unique_ptr<virConnect, Release>;
    Status open_handle(const env::Deadline& deadline);
    std::string uri_;
    bool remote_ = false;
    std::shared_ptr<EventLoop> loop_;  // null: the program around us runs it; outlives the lane
    std::shared_ptr<Handle> handle_;   // closed on the lane: that may block as well
    Lane lane_;
};

}  // namespace stillpoint::hypervisor::libvirt
