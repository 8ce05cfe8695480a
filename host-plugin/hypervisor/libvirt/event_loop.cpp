#include "hypervisor/libvirt/event_loop.hpp"

#include <libvirt/virterror.h>

#include <mutex>

#include "hypervisor/libvirt/api.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

// The mirror of libvirt's own process-wide registration, which can be neither undone nor repeated.
struct Registration {
    std::mutex mutex;
    bool done = false;
    std::weak_ptr<EventLoop> loop;
};

Registration& registration() {
    static Registration instance;
    return instance;
}

// libvirt prints every failure to stderr unless told otherwise; ours reach the user as Errors.
void keep_quiet(void*, virErrorPtr) {}

Status register_once(Registration& process) {
    if (process.done) return {};
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) {
        Error error = last_error("start libvirt's event loop");
        error.id = "libvirt.event_loop";
        return fail(std::move(error));
    }
    virSetErrorFunc(nullptr, keep_quiet);
    process.done = true;
    return {};
}

}  // namespace

Result<std::shared_ptr<EventLoop>> EventLoop::running() {
    Registration& process = registration();
    const std::scoped_lock lock{process.mutex};
    if (auto loop = process.loop.lock()) return loop;
    SP_TRY(register_once(process));
    const int timer = virEventAddTimeout(
        -1, [](int, void*) {}, nullptr, nullptr);
    if (timer < 0) return fail(last_error("start libvirt's event loop"));
    auto loop = std::make_shared<EventLoop>(Key{}, timer);
    process.loop = loop;
    return loop;
}

void EventLoop::run() {
    while (!stop_) virEventRunDefaultImpl();
}

EventLoop::~EventLoop() {
    // Under the lock: a successor must not run the one loop beside us.
    const std::scoped_lock lock{registration().mutex};
    stop_ = true;
    virEventUpdateTimeout(timer_, 0);
    thread_.join();
    virEventRemoveTimeout(timer_);
}

}  // namespace stillpoint::hypervisor::libvirt
