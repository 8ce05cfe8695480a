#pragma once
#include <functional>
#include <variant>

#include "os/order_thread.hpp"
#include "vss/vss_backup.hpp"

namespace stillpoint::windows_guest {

using WorkerReport =
    std::variant<PrepareReport, SnapshotReport, ConcludeReport, serialization::Diagnosis>;

/// The thread that owns the backup with VSS for its whole life: VSS is never called from another,
/// nor from one of its own callbacks. Orders are carried out one after another; each is answered
/// with one report.
/// @threads orders: one; the reports come on the worker's thread
class VssWorker {
public:
    struct Parts {
        OpenVss open;
        /// Puts the registration of our snapshot provider right.
        std::function<void()> repair = [] {};
        std::function<void(WorkerReport)> deliver;
        /// Examines the machine; given what the writers say.
        std::function<serialization::Diagnosis(const VssResult<std::vector<WriterStatus>>&)>
            examine;
        /// Entered on the thread before anything else, kept until it ends: COM's apartment.
        std::function<std::shared_ptr<void>()> enter_thread = [] { return nullptr; };
    };
    explicit VssWorker(Parts parts);
    VssWorker(const VssWorker&) = delete;
    VssWorker& operator=(const VssWorker&) = delete;
    /// Ends what is under way and joins.
    ~VssWorker();

    void prepare(PrepareOrder order);
    void snapshot();
    void conclude(VssBackup::Outcome outcome);
    /// Has the machine and its writers examined.
    void examine();
    /// Makes an examination end soon, with what is known then.
    void cancel_examination() noexcept { backup_.cancel_look(); }
    /// Makes prepare or snapshot under way end soon; orders that follow are not touched.
    void cancel() noexcept { backup_.cancel(); }

private:
    void push(std::function<WorkerReport()> order);

    Parts parts_;
    VssBackup backup_;
    os::OrderThread thread_;
};

}  // namespace stillpoint::windows_guest
