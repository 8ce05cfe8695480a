#include "agent_world.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <new>
#include <stdexcept>

#include "service/doctor.hpp"

namespace {

// Counted per thread: what the agent's thread takes from the heap. The operators below have no
// other place for it.
// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
thread_local long taken = 0;
thread_local long taken_before = 0;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

}  // namespace

void* operator new(std::size_t bytes) {
    ++taken;
    if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
    throw std::bad_alloc{};
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    ++taken;
    return std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}

namespace stillpoint::test {

using namespace windows_guest;
using namespace std::chrono_literals;

std::uint32_t Captured::send(ByteView frame) noexcept {
    const long taken_since = taken - taken_before;
    const std::scoped_lock guard{lock_};
    frames_.push_back(to_bytes(frame));
    taken_in_window_ = taken_since;
    taken_before = taken;
    changed_.notify_all();
    return 0;
}

serialization::Message Captured::next() {
    std::unique_lock guard{lock_};
    if (!changed_.wait_for(guard, 20s, [this] { return !frames_.empty(); })) {
        throw std::runtime_error("the agent said nothing");
    }
    serialization::FrameReader reader;
    reader.feed(frames_.front());
    frames_.pop_front();
    return serialization::decode_message(reader.next().value().payload).value();
}

void AgentWorld::start() {
    worker_ = std::make_unique<VssWorker>(
        VssWorker::Parts{.open = vss.opener(),
                         .deliver = [this](WorkerReport report) { inbox.post(std::move(report)); },
                         .examine = [](const auto& writers) { return diagnose({}, writers); }});
    hook_worker_ = std::make_unique<HookWorker>(HookWorker::Parts{
        hooks, hooks, "this boot", [this](const GuestConfig&) { return hooks.configured(); },
        [this](HookReport report) { inbox.post(std::move(report)); },
        [this](const std::string& text, bool) { inbox.post(LogLine{text}); }});
    Agent::Parts parts{line,
                       inbox,
                       wake,
                       gate,
                       *worker_,
                       *hook_worker_,
                       log_,
                       [this] { return volumes; },
                       [this](const GuestVolume& volume) -> Status {
                           flushed.push_back(volume.name);
                           return {};
                       },
                       [] { return std::vector<std::string>{"the service"}; },
                       "Windows",
                       [this]() -> Result<GuestConfig> { return configure(); }};
    agent_ = std::make_unique<Agent>(rules_, parts);
    thread_ = std::thread{[this] { agent_->run(); }};
}

AgentWorld::~AgentWorld() {
    inbox.post(StopAsked{});
    if (thread_.joinable()) thread_.join();
    worker_.reset();
    hook_worker_.reset();
}

void AgentWorld::send(const serialization::Message& message) {
    inbox.post(serialization::Frame{session_, ++sequence_, serialization::encode_message(message)});
}

void AgentWorld::hello(const std::vector<std::string>& features) {
    ++session_;
    sequence_ = 0;
    send(serialization::Hello{.features = features});
}

serialization::Frozen AgentWorld::freeze(std::int64_t hold_budget_ns) {
    serialization::Prepare prepare;
    prepare.job_id = job;
    prepare.wanted = serialization::Level::application;
    (void)ask<serialization::Prepared>(prepare);
    return ask<serialization::Frozen>(serialization::Freeze{lease, hold_budget_ns});
}

void AgentWorld::await_state(const std::string& state) {
    while (ask<serialization::Pong>(serialization::Ping{1}).state != state)
        std::this_thread::yield();
}

void AgentWorld::wrong(const serialization::Message& message, std::string_view wanted) {
    throw std::runtime_error("expected " + std::string(wanted) + ", got " +
                             serialization::message_to_json(message));
}

}  // namespace stillpoint::test
