#pragma once
#include <atomic>
#include <memory>
#include <thread>

#include "base/result.hpp"

namespace stillpoint::hypervisor::libvirt {

/// libvirt's default event loop on a thread of its own: it delivers events and answers keepalives
/// while somebody holds it. libvirt knows one loop per process, so all connections share this one;
/// where the program around us runs the loop, nobody calls running().
/// @threads any
/// @source libvirt: virEventRegisterDefaultImpl, "must be called before any connection is opened"
class EventLoop {
    struct Key {};  // only running() makes one

public:
    /// @errors io, id "libvirt.event_loop"
    static Result<std::shared_ptr<EventLoop>> running();
    EventLoop(Key, int timer) : timer_(timer), thread_([this] { run(); }) {}
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;
    ~EventLoop();

private:
    void run();
    std::atomic<bool> stop_{false};
    int timer_;  // never due by itself; made due to wake the loop
    std::thread thread_;
};

}  // namespace stillpoint::hypervisor::libvirt
