#pragma once
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <variant>

#include "hooks/hook_worker.hpp"
#include "os/event.hpp"
#include "serialization/frame.hpp"
#include "service/guest_log.hpp"
#include "vss/vss_worker.hpp"

namespace stillpoint::windows_guest {

struct HostLost {};   // the host that had sent something is gone
struct StopAsked {};  // end the session cleanly, then return
struct LogLine {      // of another thread; not written while writes are held
    std::string text;
    Severity severity = Severity::warning;
};
using InboxItem =
    std::variant<serialization::Frame, HostLost, StopAsked, LogLine, WorkerReport, HookReport>;

/// What reaches the agent from other threads, in order. It and the provider's gate set one event.
/// @threads any
class Inbox {
public:
    explicit Inbox(os::Event& wake) : wake_(wake) {}
    /// Frames beyond frames_max that nobody has taken are dropped: a host that floods only delays
    /// itself.
    void post(InboxItem item) {
        {
            const std::scoped_lock guard{lock_};
            const bool frame = std::holds_alternative<serialization::Frame>(item);
            if (frame && items_.size() >= frames_max) return;
            items_.push_back(std::move(item));
        }
        wake_.set();
    }
    [[nodiscard]] std::optional<InboxItem> take() {
        const std::scoped_lock guard{lock_};
        if (items_.empty()) return std::nullopt;
        std::optional<InboxItem> item{std::move(items_.front())};
        items_.pop_front();
        return item;
    }

private:
    static constexpr std::size_t frames_max = 64;
    os::Event& wake_;
    std::mutex lock_;
    std::deque<InboxItem> items_;
};

}  // namespace stillpoint::windows_guest
