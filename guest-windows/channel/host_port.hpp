#pragma once
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "os/event.hpp"
#include "service/agent.hpp"

namespace stillpoint::windows_guest {

/// The device of the virtio-serial driver; also from another session than the console's.
inline constexpr const char* default_port = R"(\\.\Global\org.stillpoint.guest.0)";

/// The byte stream to the host, as frames: a thread reads, opens the port and opens it again. What
/// the driver does when no host is there differs by version (docs/windows.md, "The channel").
/// @threads as Line; take comes on the reader's thread
class HostPort final : public Line {
public:
    struct Parts {
        std::string path{default_port};
        std::function<void(InboxItem)> take;
    };
    explicit HostPort(Parts parts);
    HostPort(const HostPort&) = delete;
    HostPort& operator=(const HostPort&) = delete;
    ~HostPort() override;

    std::uint32_t send(ByteView frame) noexcept override;
    [[nodiscard]] std::string text_of(std::uint32_t code) const override;

private:
    enum class Got { bytes, no_host, broken };
    struct Reading;
    void run();
    bool open();
    void close();
    void serve();
    Got read_some(Reading& reading);
    Got wait_for_bytes(Reading& reading, unsigned long& count);
    void give_up_stale(Reading& reading);
    void hang_up();
    [[nodiscard]] bool stopped_within(os::nanoseconds span);
    void complain(const std::string& text);

    Parts parts_;
    std::mutex lock_;         // of the handle: who writes keeps it open
    void* handle_ = nullptr;  // nullptr: closed
    os::Event write_done_;
    os::Event read_done_;
    os::Event stop_;
    std::atomic<bool> stopping_{false};
    bool heard_ = false;  // something came since the last hang-up
    std::string complained_;
    std::thread thread_;
};

}  // namespace stillpoint::windows_guest
