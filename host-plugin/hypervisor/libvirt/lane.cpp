#include "hypervisor/libvirt/lane.hpp"

namespace stillpoint::hypervisor::libvirt {

Lane::Lane()
    : state_(std::make_shared<State>()), thread_([state = state_] {
          while (auto call = state->calls.pop()) (*call)();
          const std::scoped_lock lock{state->mutex};
          state->has_ended = true;
          state->ended.notify_all();
      }) {}

Lane::~Lane() {
    state_->calls.close();
    std::unique_lock lock{state_->mutex};
    const bool ended =
        state_->ended.wait_for(lock, close_max, [this] { return state_->has_ended; });
    lock.unlock();
    if (ended) {
        thread_.join();
    } else {
        thread_.detach();
    }
}

}  // namespace stillpoint::hypervisor::libvirt
