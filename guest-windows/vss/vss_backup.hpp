#pragma once
#include <atomic>
#include <mutex>
#include <optional>

#include "os/event.hpp"
#include "vss/failure_class.hpp"
#include "vss/vss_session.hpp"

/// One backup's way through VSS: the ladder of attempts before the snapshot, the snapshot, the end.
namespace stillpoint::windows_guest {

struct PrepareOrder {
    serialization::BackupType type = serialization::BackupType::full;
    VssOptions::Writers writers = VssOptions::Writers::all;
    WriterChoice chosen = {};
    std::vector<GuestVolume> volumes;
    os::nanoseconds until{};  // no new attempt after it
};

/// What one attempt asks VSS for.
struct Attempt {
    VssOptions::Writers writers = VssOptions::Writers::all;
    SnapshotContext context = SnapshotContext::transportable;
    bool repeated = false;            // "once" was used up
    bool repaired = false;            // the registration of our provider was put right
    os::nanoseconds pause_before{0};  // waited before it
    friend bool operator==(const Attempt&, const Attempt&) = default;
};
inline constexpr os::nanoseconds retry_pause = std::chrono::seconds{5};
// For services that VSS needs to come back by themselves; at most half of what is left, so that the
// other half is there for the attempt.
inline constexpr os::nanoseconds infrastructure_pause = std::chrono::seconds{60};

/// The ladder, pure. @return empty: no further attempt makes sense
[[nodiscard]] std::optional<Attempt> next_attempt(const Attempt& failed, Hresult code,
                                                  os::nanoseconds left);

struct PrepareReport {
    bool ready = false;                             // a snapshot may be taken
    std::vector<serialization::Evidence> evidence;  // per writer
    struct LeftOut {
        std::string volume;  // its name
        std::string why;
    };
    std::vector<LeftOut> left_out;  // volumes that VSS does not take
    bool retry_later = false;       // one failed that may not in ten minutes
    Error problem;                  // why it is not ready
};
struct SnapshotReport {
    bool taken = false;
    std::vector<serialization::Evidence> evidence;  // per writer
    bool retry_later = false;                       // as above
    Error problem;                                  // why it was not taken
};
struct ConcludeReport {
    std::vector<serialization::Evidence> evidence;  // writers that failed at the very end
};

/// The failure for people and for the protocol.
[[nodiscard]] Error describe(const VssError& error);

/// @threads one, but cancel: any
class VssBackup {
public:
    /// What it needs of the outside.
    struct Parts {
        OpenVss open;
        /// Puts the registration of our provider right, as well as it can.
        std::function<void()> repair = [] {};
        std::function<os::nanoseconds()> now = os::now;
        /// @return whether the event was set by then
        std::function<bool(os::Event&, os::nanoseconds)> wait =
            [](os::Event& event, os::nanoseconds until) { return event.wait_until(until); };
    };
    explicit VssBackup(Parts parts) : parts_(std::move(parts)) {}
    /// Ends an earlier backup that is still open, then tries until one attempt is ready.
    PrepareReport prepare(PrepareOrder order);
    SnapshotReport snapshot();
    /// @param success the backup's data is safe: the writers may truncate their logs
    enum class Outcome { success, failure };
    ConcludeReport conclude(Outcome outcome);
    /// Makes what is under way end soon, without success.
    void cancel() noexcept;
    /// From here on an earlier cancel means nothing.
    void rearm() noexcept {
        cancel_asked_ = false;
        cancelled_.reset();
    }

    /// How the writers are: by an object of its own, beside a backup that may still be open.
    [[nodiscard]] VssResult<std::vector<WriterStatus>> look();
    /// Makes a look that is under way, or ordered, end soon.
    void cancel_look() noexcept;
    void rearm_look() noexcept { look_cancelled_ = false; }

private:
    VssResult<PrepareReport> attempt(const PrepareOrder& order, const Attempt& attempt);
    [[nodiscard]] bool may_go_on(const Attempt& failed, const std::optional<Attempt>& next);
    bool note_status(std::vector<serialization::Evidence>& evidence, StatusPhase phase);
    void keep_held(StatusPhase phase, const std::vector<WriterStatus>& writers);
    void end_session() noexcept;

    Parts parts_;
    std::mutex lock_;  // of the pointers: cancel comes from another thread
    std::shared_ptr<VssSession> session_;
    std::shared_ptr<VssSession> looking_;
    std::atomic<bool> look_cancelled_{false};
    bool with_writers_ = false;
    bool snapshot_taken_ = false;
    std::vector<std::string> held_;  // instances of writers that were quiesced in every phase
    SnapshotContext begin_with_ = SnapshotContext::transportable;  // the next backup
    std::atomic<bool> cancel_asked_{false};
    os::Event cancelled_;  // wakes who waits
};

}  // namespace stillpoint::windows_guest
