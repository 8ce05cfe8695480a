#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "serialization/messages.hpp"
#include "serialization/reports.hpp"

/// The consistency level of a recovery point: the minimum over typed evidence (docs/protocol.md,
/// I5). Pure. Nothing is inferred from silence: what no message proves is crash. What a guest
/// claims against itself, or against what the host saw, is crash as well, with the reason.
namespace stillpoint::quiesce {

/// What the host saw around the snapshot: its own monotonic clock, nanoseconds. The guest's stamps
/// are of another clock: the two are compared by durations, and by who had to wait for whom.
struct HostWindow {
    std::int64_t freeze_sent_ns = 0;
    std::int64_t frozen_received_ns = 0;
    std::int64_t snapshot_before_ns = 0;  // just before the command
    std::int64_t snapshot_after_ns = 0;   // all disks were known to be captured
    std::int64_t thaw_sent_ns = 0;
    std::int64_t thawed_received_ns = 0;
    std::int64_t paused_ns =
        0;  // the VM was stopped that long in between: its clock may stand still
};

enum class Machine {
    running,
    off_clean,     // shut down, with the hypervisor's proof
    off_unproven,  // not running, and nothing proves that the guest shut down
};

/// What is known when the level is decided. Messages that never came stay empty.
struct LevelInput {
    serialization::Level asked = serialization::Level::filesystem;
    Machine machine = Machine::running;
    std::string job_id;    // as sent in Prepare
    std::string lease_id;  // as sent in Freeze
    std::optional<serialization::Welcome> welcome;
    std::optional<serialization::Prepared> prepared;
    std::optional<serialization::Frozen> frozen;
    std::optional<serialization::Thawed> thawed;
    std::optional<serialization::Finished>
        finished;  // needed only where hooks make a freeze unnecessary
    std::optional<HostWindow> window;
    std::vector<serialization::Warning>
        earlier;  // why messages are missing, from who asked for them
};

struct LevelResult {
    serialization::Level level = serialization::Level::crash;
    serialization::Level asked = serialization::Level::filesystem;
    bool partial = false;                          // some volumes or writers were not covered …
    std::vector<std::string> uncovered;            // … these
    std::vector<serialization::Warning> warnings;  // `earlier` first; excluded volumes are none
    std::vector<serialization::Evidence>
        evidence;                           // for the point; never "quiesced" when disproved
    std::optional<std::int64_t> frozen_ns;  // empty: nothing was frozen, or nobody knows
};

[[nodiscard]] LevelResult compute_level(const LevelInput& input);

/// Why no recovery point may be kept: the hook that failed and whose failure is the backup's.
/// @return empty: it may
[[nodiscard]] std::string refusal_of(const std::optional<serialization::Prepared>& prepared,
                                     const std::string& job_id);

/// Judges the answer to Finish. A failed post hook is an alert; it does not change the level.
[[nodiscard]] std::vector<serialization::Warning> judge_finish(
    const std::optional<serialization::Finished>& finished, const std::string& job_id);

}  // namespace stillpoint::quiesce
