#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "route/services.hpp"
#include "serialization/messages.hpp"

/// The guest's part of one backup: greet, prepare, freeze, thaw, finish. A guest that misbehaves
/// never fails the backup; what went wrong is kept and becomes the reason for a lower level (I5).
namespace stillpoint::route {

struct StillPointOptions {
    serialization::BackupType type = serialization::BackupType::full;
    env::Nanoseconds greet_budget = std::chrono::seconds{3};
    env::Nanoseconds hooks_budget = std::chrono::seconds{60};
    env::Nanoseconds freeze_budget = std::chrono::seconds{5};
    // VSS's writers have a minute for their freeze, before anything is held.
    env::Nanoseconds writers_budget = std::chrono::seconds{60};
    // The guest counts its own budgets; the host waits this much longer for the answer to travel.
    env::Nanoseconds answer_margin = std::chrono::seconds{5};
};

/// What was said and heard, for the verdict.
struct Conversation {
    std::optional<serialization::Welcome> welcome;
    std::optional<serialization::Prepared> prepared;
    std::string lease_id;
    std::optional<serialization::Frozen> frozen;
    std::optional<serialization::Thawed> thawed;
    std::optional<serialization::Finished> finished;
    std::string job_id;
    std::vector<serialization::Warning> problems;  // in the order they were met
    bool retry_later = false;  // by the guest's word a whole new backup may do better soon
    // Host monotonic times: the guest is proven still from `frozen_heard` until `thaw_sent`.
    env::Nanoseconds freeze_sent{}, frozen_heard{}, thaw_sent{}, thawed_heard{};
};

/// @threads one at a time
class StillPoint {
public:
    StillPoint(const BackupServices& services, StillPointOptions options,
               const env::CancelToken& cancel);
    StillPoint(const StillPoint&) = delete;
    StillPoint& operator=(const StillPoint&) = delete;
    /// Asks the guest to end whatever is still under way.
    ~StillPoint();

    /// Connects and runs the pre hooks. Nothing is frozen yet. A guest whose VM is paused is not
    /// asked. @param vm one that is not off
    void prepare(const hypervisor::VmInfo& vm, const std::string& job_id);
    void freeze();
    /// Call right after the snapshot, also when it failed.
    enum class Snapshot { taken, failed };
    void thaw(Snapshot snapshot);
    /// Runs the post hooks.
    enum class Outcome { success, failure };
    void finish(Outcome outcome);

    /// Whether the guest now waits to hear that the data is safe: see complete_guest.
    [[nodiscard]] bool owes_complete() const;

    [[nodiscard]] const Conversation& conversation() const { return conversation_; }

private:
    void note(const std::string& code, const std::string& text);
    void give_up(const std::string& step, const Error& error);
    [[nodiscard]] env::Deadline within(env::Nanoseconds budget) const;

    const BackupServices& services_;
    StillPointOptions options_;
    env::CancelToken cancel_;
    std::unique_ptr<guest::GuestClient> client_;
    Conversation conversation_;
    bool owes_finish_ = false;
};

/// The second phase of the end: VSS's writers truncate their logs only when the point is durable.
/// Goes through although the job was cancelled. @return what went wrong, as alerts
[[nodiscard]] std::vector<serialization::Warning> complete_guest(
    const BackupServices& services, const StillPointOptions& options, const hypervisor::VmInfo& vm,
    const serialization::Complete& word);

}  // namespace stillpoint::route
