#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "env/files.hpp"
#include "serialization/messages.hpp"

/// The host's side of the conversation with the extension, docs/protocol.md.
/// Nothing the guest says is trusted: contradictions become evidence against it, never a failure of
/// the backup.
namespace stillpoint::guest {

inline constexpr std::size_t guest_log_lines_max =
    256;  // of at most 1 KiB each; later ones are dropped
inline constexpr env::Nanoseconds hello_interval = std::chrono::milliseconds{500};
inline constexpr env::Nanoseconds cancel_budget = std::chrono::seconds{2};  // for Cancel's answer

/// How a guest that is busy for long is known to be there: it answers a ping whatever is under way.
/// Nobody tells the host when the extension ends, as its port stays.
struct Heartbeat {
    env::Nanoseconds ask_every = std::chrono::seconds{5};
    env::Nanoseconds silence_max =
        std::chrono::seconds{20};                          // an overloaded guest is slow, not gone
    env::Nanoseconds last_word = std::chrono::seconds{2};  // what each later answer is waited for
};

/// In Hello: this host sends Complete; in Welcome: this guest waits for it.
inline constexpr std::string_view completes_feature = "complete";

/// A conversation with the extension in one guest. @threads one at a time
/// Every call: @errors timeout, id "guest.gone" where it did not even answer pings · cancelled ·
/// io (port closed) · corrupt, id "guest.protocol" ·
/// refused or busy (retriable), id "guest.error" with the guest's own code in the text
/// thaw, finish and cancel go through even when the job was cancelled: only their deadline ends
/// them.
class GuestClient {
public:
    virtual ~GuestClient() = default;
    /// What the guest said of itself at connect.
    [[nodiscard]] virtual const serialization::Welcome& welcome() const = 0;
    virtual Result<serialization::Prepared> prepare(const serialization::Prepare& request,
                                                    const env::Deadline& deadline) = 0;
    virtual Result<serialization::Frozen> freeze(const serialization::Freeze& request,
                                                 const env::Deadline& deadline) = 0;
    /// Sends Thaw at once; collects the answer.
    virtual Result<serialization::Thawed> thaw(const serialization::Thaw& request,
                                               const env::Deadline& deadline) = 0;
    virtual Result<serialization::Finished> finish(const serialization::Finish& request,
                                                   const env::Deadline& deadline) = 0;
    /// Tells a guest whose Welcome has the feature "complete" whether the point is durable; in a
    /// session of its own, after the one that took the snapshot.
    virtual Result<serialization::Completed> complete(const serialization::Complete& request,
                                                      const env::Deadline& deadline) {
        static_cast<void>(deadline);
        return serialization::Completed{request.job_id, {}};
    }
    /// Ends whatever is under way in the guest, as well as it can.
    virtual void cancel(const std::string& reason) noexcept = 0;
    /// One round trip. @return nanoseconds
    virtual Result<env::Nanoseconds> ping(const env::Deadline& deadline) = 0;
    /// Has the guest examine itself. @errors also unsupported, id "guest.no_doctor": an extension
    /// that does not know how
    virtual Result<serialization::Diagnosis> doctor(const serialization::Doctor& request,
                                                    const env::Deadline& deadline) {
        static_cast<void>(request);
        static_cast<void>(deadline);
        return fail(Errc::unsupported, "guest.no_doctor", "this guest cannot examine itself",
                    "install the extension in the guest, or update it");
    }
    /// What the guest logged since the last call; at most guest_log_lines_max lines are kept.
    [[nodiscard]] virtual std::vector<serialization::Log> take_logs() { return {}; }
};

/// Connects to the port's socket and greets; good only once Welcome came (QEMU queues a second
/// client silently).
/// @errors not_found: no such socket · timeout, id "guest.silent": nobody answered ·
///         unsupported, id "guest.version": no common protocol version
[[nodiscard]] Result<std::unique_ptr<GuestClient>> connect_guest(
    const env::Path& socket, const std::string& vm_uuid, const env::Deadline& deadline,
    const env::CancelToken& cancel, const env::Clock& clock, const Heartbeat& heartbeat = {});

}  // namespace stillpoint::guest
