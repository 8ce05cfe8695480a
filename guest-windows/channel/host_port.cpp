#include "channel/host_port.hpp"

#include <windows.h>

#include <algorithm>
#include <array>

#include "os/com.hpp"

namespace stillpoint::windows_guest {
namespace {

using os::nanoseconds;

constexpr nanoseconds pause_min = std::chrono::milliseconds{250};
constexpr nanoseconds pause_max = std::chrono::seconds{5};
constexpr nanoseconds look_for_host_every = std::chrono::milliseconds{200};
constexpr nanoseconds partial_max = std::chrono::milliseconds{500};
constexpr nanoseconds write_max = std::chrono::seconds{1};
constexpr nanoseconds full_pause = std::chrono::milliseconds{10};
constexpr std::size_t read_bytes_max = 16u << 10;

// What the driver answers when there is no host, or when its queue is full.
bool is_no_host(DWORD error) {
    return error == ERROR_NO_SYSTEM_RESOURCES;
}
bool is_full(DWORD error) {
    constexpr DWORD cant_wait = 554;
    return error == cant_wait || is_no_host(error);
}

DWORD ms_until(nanoseconds until) {
    const nanoseconds left = std::max(until - os::now(), nanoseconds::zero());
    return static_cast<DWORD>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
}

}  // namespace

/// What the reading thread keeps between two reads.
struct HostPort::Reading {
    serialization::FrameReader frames;
    std::array<std::byte, read_bytes_max> piece{};
    OVERLAPPED overlapped{};
    nanoseconds partial_since{};  // a frame's beginning is waited on since; 0: none
    std::uint64_t partial_at = 0;
};

HostPort::HostPort(Parts parts) : parts_(std::move(parts)), thread_([this] { run(); }) {}

HostPort::~HostPort() {
    stopping_ = true;
    stop_.set();
    thread_.join();
}

bool HostPort::stopped_within(nanoseconds span) {
    return stopping_ || stop_.wait_until(os::now() + span) || stopping_;
}

void HostPort::complain(const std::string& text) {
    if (text != complained_) parts_.take(LogLine{text});
    complained_ = text;
}

void HostPort::run() {
    nanoseconds pause = pause_min;
    while (!stopping_) {
        if (open()) {
            pause = pause_min;
            complained_.clear();
            serve();
            close();
            hang_up();
        }
        if (stopped_within(pause)) break;
        pause = std::min(2 * pause, pause_max);
    }
}

bool HostPort::open() {
    const std::wstring path = os::to_wide(parts_.path);
    // Whoever answers under this name may learn who we are, and never act as us.
    constexpr DWORD flags = FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
    const HANDLE opened = ::CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr,
                                        OPEN_EXISTING, flags, nullptr);
    if (opened == INVALID_HANDLE_VALUE) {
        complain("open " + parts_.path + ": " + os::windows_error(::GetLastError()));
        return false;
    }
    // A real serial line waits for a full buffer otherwise; the virtio driver knows no timeouts.
    COMMTIMEOUTS timeouts{};
    timeouts.ReadIntervalTimeout = 1;
    ::SetCommTimeouts(opened, &timeouts);
    const std::scoped_lock guard{lock_};
    handle_ = opened;
    return true;
}

void HostPort::close() {
    const std::scoped_lock guard{lock_};
    ::CloseHandle(std::exchange(handle_, nullptr));
}

void HostPort::hang_up() {
    if (std::exchange(heard_, false)) parts_.take(HostLost{});
}

void HostPort::serve() {
    Reading reading;
    while (!stopping_) {
        const Got got = read_some(reading);
        if (got == Got::broken) return;
        if (got == Got::no_host) {
            hang_up();
            reading.frames.give_up_partial();
            if (stopped_within(look_for_host_every)) return;
        }
        while (auto frame = reading.frames.next()) parts_.take(*std::move(frame));
        if (!reading.frames.waiting()) reading.partial_since = nanoseconds::zero();
    }
}

HostPort::Got HostPort::read_some(Reading& reading) {
    reading.overlapped = {};
    reading.overlapped.hEvent = read_done_.handle();
    const std::size_t wanted = std::min(reading.piece.size(), reading.frames.room());
    DWORD count = 0;
    const BOOL at_once = ::ReadFile(handle_, reading.piece.data(), static_cast<DWORD>(wanted),
                                    &count, &reading.overlapped);
    const DWORD error = at_once ? ERROR_SUCCESS : ::GetLastError();
    if (error != ERROR_SUCCESS && error != ERROR_IO_PENDING) {
        return is_no_host(error) ? Got::no_host : Got::broken;
    }
    const Got got = wait_for_bytes(reading, count);
    if (got != Got::bytes) return got;
    if (count != 0) heard_ = true;
    reading.frames.feed(ByteView{reading.piece}.first(count));
    return Got::bytes;
}

/// The read is pending until bytes come; meanwhile a frame that stays a beginning is given up.
HostPort::Got HostPort::wait_for_bytes(Reading& reading, unsigned long& count) {
    const std::array<HANDLE, 2> events{read_done_.handle(), stop_.handle()};
    for (;;) {
        give_up_stale(reading);
        const DWORD span = reading.partial_since == nanoseconds::zero()
                               ? INFINITE
                               : ms_until(reading.partial_since + partial_max);
        const DWORD ended = ::WaitForMultipleObjects(2, events.data(), FALSE, span);
        if (ended == WAIT_TIMEOUT) continue;
        if (ended != WAIT_OBJECT_0) ::CancelIoEx(handle_, &reading.overlapped);
        const BOOL done = ::GetOverlappedResult(handle_, &reading.overlapped, &count, TRUE);
        if (ended != WAIT_OBJECT_0) return Got::broken;
        if (done) return Got::bytes;
        return is_no_host(::GetLastError()) ? Got::no_host : Got::broken;
    }
}

/// A sender writes a frame in one go: a beginning that stays one was left behind by an earlier host
/// and would swallow what follows.
void HostPort::give_up_stale(Reading& reading) {
    if (!reading.frames.waiting()) {
        reading.partial_since = nanoseconds::zero();
    } else if (reading.partial_since == nanoseconds::zero() ||
               reading.partial_at != reading.frames.position()) {
        reading.partial_since = os::now();
        reading.partial_at = reading.frames.position();
    } else if (os::now() - reading.partial_since >= partial_max) {
        reading.frames.give_up_partial();
        while (auto frame = reading.frames.next()) parts_.take(*std::move(frame));
        reading.partial_since = nanoseconds::zero();
    }
}

std::uint32_t HostPort::send(ByteView frame) noexcept {
    const std::scoped_lock guard{lock_};
    const nanoseconds until = os::now() + write_max;
    DWORD error = handle_ == nullptr ? ERROR_NOT_READY : ERROR_SUCCESS;
    while (!frame.empty() && error == ERROR_SUCCESS) {
        OVERLAPPED overlapped{};
        overlapped.hEvent = write_done_.handle();
        DWORD count = 0;
        BOOL done = ::WriteFile(handle_, frame.data(), static_cast<DWORD>(frame.size()), &count,
                                &overlapped);
        if (!done && ::GetLastError() == ERROR_IO_PENDING) {
            if (!write_done_.wait_until(until)) ::CancelIoEx(handle_, &overlapped);
            done = ::GetOverlappedResult(handle_, &overlapped, &count, TRUE);
        }
        if (!done) error = ::GetLastError();
        frame = frame.subspan(done ? count : 0);
        if (is_full(error) && os::now() < until && !stopping_) {
            // Nobody sets the event meanwhile: it is only waited on.
            (void)write_done_.wait_until(os::now() + full_pause);
            error = ERROR_SUCCESS;
        }
    }
    return error;
}

std::string HostPort::text_of(std::uint32_t code) const {
    return os::windows_error(code);
}

}  // namespace stillpoint::windows_guest
