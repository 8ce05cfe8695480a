#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "env/clock.hpp"
#include "hypervisor/libvirt/connection.hpp"

namespace stillpoint::hypervisor::libvirt {

/// What the events of one domain told since the subscription. Shared by libvirt's event thread and
/// ours; every member is behind the lock.
class WatchState {
public:
    struct Instant {
        env::Nanoseconds monotonic{};
        env::Nanoseconds wall{};
    };

    WatchState(std::set<std::string> disks, const env::Clock& clock)
        : clock_(clock), awaited_(disks), disks_(std::move(disks)) {}

    /// QEMU's JOB_STATUS_CHANGE. @param job "backup-vda-libvirt-2-format"
    void job_changed(const std::string& job, const std::string& status);
    /// libvirt's JOB_COMPLETED; one of an earlier job (before our instant) means nothing.
    void job_completed();
    void begin_returned();
    /// First reason wins; afterwards nothing read may be published.
    void broke(const std::string& why);
    void io_error();
    /// We resumed the VM after an I/O error: whoever hears of the error hears for how long it
    /// stood.
    void runs_again();
    /// From now on the jobs' end is our own doing.
    void expect_end();

    /// Waits until every disk's job ran (the instant has passed), or BackupBegin returned.
    /// @return the instant when all jobs ran; nullopt: the call returned first
    /// @errors timeout, id "snapshot.timeout"
    Result<std::optional<Instant>> wait_captured(const env::Deadline& deadline);
    [[nodiscard]] std::optional<std::string> broken() const;
    /// As broken(), but silent while a VM that an I/O error stopped is being resumed: who asks soon
    /// again hears for how long it stood.
    [[nodiscard]] std::optional<std::string> verdict() const;
    [[nodiscard]] bool had_io_error() const;
    [[nodiscard]] bool ending() const;

    /// Called on libvirt's event thread (must not block): scratch reached a threshold, or the VM
    /// stopped with an I/O error. Reset to nothing before its target dies.
    void set_alarm(std::function<void()> alarm);
    void raise_alarm();

    static constexpr std::chrono::seconds resume_max{2};  // the promise to a guest

private:
    const env::Clock& clock_;
    mutable std::mutex mutex_;
    std::condition_variable happened_;
    std::set<std::string> awaited_;  // disks whose job has not run yet
    std::set<std::string> disks_;
    std::optional<Instant> instant_;
    std::optional<std::string> broken_;
    std::optional<env::Nanoseconds> stopped_at_;  // by an I/O error; unset once it runs again
    std::function<void()> alarm_;
    bool begin_returned_ = false;
    bool io_error_ = false;
    bool end_expected_ = false;
};

/// A subscription to one domain's events, ended by the destructor.
/// @threads one at a time; the state any
class Watch {
    struct Key {};  // only subscribe() makes one
    struct Ids {
        int job_status = -1;  // virConnectDomainQemuMonitorEventRegister
        int threshold = -1;   // the others: virConnectDomainEventRegisterAny
        int lifecycle = -1;
        int job_completed = -1;
    };

public:
    /// @param clock outlives every event: the state keeps it until libvirt let go of the callbacks
    static Result<std::unique_ptr<Watch>> subscribe(std::shared_ptr<Connection> connection,
                                                    const Domain& domain,
                                                    const std::shared_ptr<WatchState>& state,
                                                    const env::Deadline& deadline);
    Watch(Key, std::shared_ptr<Connection> connection, Ids ids)
        : connection_(std::move(connection)), ids_(ids) {}
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

private:
    static Status register_all(virConnectPtr connect, virDomainPtr domain,
                               const std::shared_ptr<WatchState>& state, Ids& ids);
    static void deregister_all(virConnectPtr connect, const Ids& ids);
    std::shared_ptr<Connection> connection_;
    Ids ids_;
};

}  // namespace stillpoint::hypervisor::libvirt
