#pragma once
#include "hooks/hook_executor.hpp"
#include "os/order_thread.hpp"
#include "service/guest_config.hpp"

namespace stillpoint::windows_guest {

/// What the thread of the hooks tells; each order is answered with one.
struct HookReport {
    enum class Of { recovery, pre, lost, end };
    Of of = Of::recovery;
    hooks::HookEngine::PreReport pre;               // of pre
    std::vector<serialization::Evidence> evidence;  // of lost and end
    std::string journal;                            // for Welcome
};

using HookWorkerLog = std::function<void(const std::string&, bool good)>;

/// The thread that runs hooks, so that the agent's only decides.
/// @threads orders: one; the reports come on the worker's thread
class HookWorker {
public:
    struct Parts {
        HookExecutor& executor;
        hooks::HookJournalStore& journal;
        std::string boot_id;
        /// As they are configured now. On the worker's thread.
        std::function<std::vector<hooks::Hook>(const GuestConfig&)> configured;
        std::function<void(HookReport)> deliver;
        HookWorkerLog log;
    };
    explicit HookWorker(Parts parts);

    /// Ends what an earlier life of this program, or of the machine, has left.
    void recover(const GuestConfig& config);
    void run_pre(const GuestConfig& config, const std::string& job_id, os::nanoseconds until);
    /// Which hooks have lost what they held.
    void find_lost();
    void finish(bool success);
    /// Makes a pre under way end soon, and the others of this backup not begin.
    void cancel() noexcept { cancelled_.ask(); }

private:
    void report(HookReport told);
    Parts parts_;
    hooks::HookEngine engine_;
    Cancellation cancelled_;
    Cancellation never_;
    CancellableHands hands_{parts_.executor, cancelled_};
    CancellableHands steady_hands_{parts_.executor, never_};
    os::OrderThread thread_{os::OrderThread::Around{}};
};

}  // namespace stillpoint::windows_guest
