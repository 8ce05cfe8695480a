#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "os/clock.hpp"
#include "serialization/messages.hpp"
#include "vss/component_plan.hpp"
#include "vss/writer_verdict.hpp"

namespace stillpoint::windows_guest {

/// A call of VSS that failed.
struct VssError {
    std::string call;  // "DoSnapshotSet"
    Hresult code = vss::ok;
    std::string object;  // the volume or writer it is about; may be empty
};
template <class T>
using VssResult = tl::expected<T, VssError>;
using VssStatus = VssResult<void>;

/// A volume as Windows names it.
struct GuestVolume {
    std::string name;  // "C:\"
    std::string guid;  // "\\?\Volume{…}\"
    std::string type;  // "NTFS"
    bool fixed = true;
    std::string note;  // why it cannot be held still; empty: it can
};

/// Which snapshots are asked for, from the largest promise to the smallest (reference: VSS
/// contexts).
enum class SnapshotContext { transportable, plain, without_transactions };

struct VssOptions {
    serialization::BackupType type = serialization::BackupType::full;
    enum class Writers { all, none } writers = Writers::all;
    SnapshotContext context = SnapshotContext::transportable;
    WriterChoice chosen = {};
};

/// One backup with VSS: one object, used once, on one thread of the multithreaded apartment. The
/// order of the calls is VSS's own; what failed is never continued with.
/// @threads one, but cancel: any
class VssSession {
public:
    virtual ~VssSession() = default;
    /// Creates the object and asks the writers who they are.
    /// @return the writers that are left out by configuration, as evidence
    virtual VssResult<std::vector<serialization::Evidence>> open(const VssOptions& options) = 0;
    virtual VssStatus add_volumes(std::span<const GuestVolume> volumes) = 0;
    virtual VssStatus prepare() = 0;
    /// Returns when the snapshot was taken or has failed; the provider's CommitSnapshots is called
    /// meanwhile, on another thread.
    virtual VssStatus snapshot() = 0;
    [[nodiscard]] virtual VssResult<std::vector<WriterStatus>> status() = 0;
    /// Tells the writers that the backup is safe: those of `held`, by their instance, that their
    /// data is in it, all others that it is not.
    virtual VssStatus complete(std::span<const std::string> held) = 0;
    /// Ends what is under way, as well as it can. Harmless when nothing is.
    virtual void abort() noexcept = 0;
    /// Makes a call that is under way return soon.
    virtual void cancel() noexcept = 0;
};

using OpenVss = std::function<std::unique_ptr<VssSession>()>;

}  // namespace stillpoint::windows_guest
