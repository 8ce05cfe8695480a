#include "hypervisor/libvirt/watch.hpp"

#include <libvirt/libvirt-qemu.h>

#include <algorithm>
#include <array>

#include "serialization/value.hpp"

namespace stillpoint::hypervisor::libvirt {
namespace {

using Shared = std::shared_ptr<WatchState>;

WatchState& state_of(void* opaque) {
    return **static_cast<Shared*>(opaque);
}

void release(void* opaque) {
    const std::unique_ptr<Shared> last{static_cast<Shared*>(opaque)};
}

// NOLINTNEXTLINE(readability-function-size): the signature is libvirt's
void on_job_status(virConnectPtr, virDomainPtr, const char*, long long, unsigned,
                   const char* details, void* opaque) {
    const auto event = serialization::parse_json(details == nullptr ? "" : details);
    if (event) state_of(opaque).job_changed(event->text_or("id"), event->text_or("status"));
}

// NOLINTNEXTLINE(readability-function-size): the signature is libvirt's
void on_threshold(virConnectPtr, virDomainPtr, const char*, const char*, unsigned long long,
                  unsigned long long, void* opaque) {
    state_of(opaque).raise_alarm();
}

int on_lifecycle(virConnectPtr, virDomainPtr, int event, int detail, void* opaque) {
    if (event == VIR_DOMAIN_EVENT_SUSPENDED && detail == VIR_DOMAIN_EVENT_SUSPENDED_IOERROR) {
        state_of(opaque).io_error();
        state_of(opaque).raise_alarm();
    }
    if (event == VIR_DOMAIN_EVENT_STOPPED || event == VIR_DOMAIN_EVENT_CRASHED) {
        state_of(opaque).broke("the VM was stopped");
    }
    return 0;
}

void on_job_completed(virConnectPtr, virDomainPtr, virTypedParameterPtr, int, void* opaque) {
    state_of(opaque).job_completed();
}

using Register = int(virConnectPtr, virDomainPtr, void* opaque);

// libvirt frees the opaque only when the registration succeeded.
Status register_one(virConnectPtr connect, virDomainPtr domain, const Shared& state,
                    const std::function<Register>& call, int& id) {
    auto opaque = std::make_unique<Shared>(state);
    id = call(connect, domain, opaque.get());
    if (id < 0) return fail(last_error("subscribe to the VM's events"));
    static_cast<void>(opaque.release());
    return {};
}

std::function<Register> domain_event(int event, virConnectDomainEventGenericCallback callback) {
    return [event, callback](virConnectPtr connect, virDomainPtr domain, void* opaque) {
        return virConnectDomainEventRegisterAny(connect, domain, event, callback, opaque, release);
    };
}

bool ends_a_job(const std::string& status) {
    constexpr std::array endings{"aborting", "concluded", "null", "undefined", "standby"};
    return std::find(endings.begin(), endings.end(), status) != endings.end();
}

}  // namespace

void WatchState::job_changed(const std::string& job, const std::string& status) {
    const std::scoped_lock lock{mutex_};
    const auto ours = std::find_if(disks_.begin(), disks_.end(), [&](const std::string& disk) {
        return job.starts_with("backup-" + disk + "-");
    });
    if (ours == disks_.end()) return;
    if (status == "running") {
        // The transaction has committed: every disk's copy-before-write is in place, and the disks
        // stay drained until the commit is through. The last job's event marks the instant.
        awaited_.erase(*ours);
        if (awaited_.empty() && !instant_) instant_ = {clock_.monotonic(), clock_.wall()};
    }
    // Before ours ran it is an earlier job's end: jobs of one disk share their name.
    const bool ran = !awaited_.contains(*ours);
    if (ends_a_job(status) && ran && !end_expected_ && !broken_) {
        broken_ = "QEMU's backup job of disk " + *ours + " is " + status;
    }
    happened_.notify_all();
}

void WatchState::begin_returned() {
    const std::scoped_lock lock{mutex_};
    begin_returned_ = true;
    happened_.notify_all();
}

void WatchState::broke(const std::string& why) {
    const std::scoped_lock lock{mutex_};
    if (!broken_ && !end_expected_) broken_ = why;
    happened_.notify_all();
}

void WatchState::job_completed() {
    const std::scoped_lock lock{mutex_};
    if (instant_ && !broken_ && !end_expected_) broken_ = "libvirt ended the backup job";
    happened_.notify_all();
}

void WatchState::io_error() {
    const std::scoped_lock lock{mutex_};
    io_error_ = true;
    if (!stopped_at_) stopped_at_ = clock_.monotonic();
    if (!broken_) broken_ = "the VM was stopped by an I/O error";
    happened_.notify_all();
}

void WatchState::runs_again() {
    const std::scoped_lock lock{mutex_};
    if (!stopped_at_) return;
    const auto stood = static_cast<std::int64_t>(env::to_ms(clock_.monotonic() - *stopped_at_));
    broken_ = broken_.value_or("the VM was stopped") +
              " while our scratch took its writes; it was resumed after " + std::to_string(stood) +
              " ms";
    stopped_at_.reset();
}

void WatchState::expect_end() {
    const std::scoped_lock lock{mutex_};
    end_expected_ = true;
}

Result<std::optional<WatchState::Instant>> WatchState::wait_captured(
    const env::Deadline& deadline) {
    std::unique_lock lock{mutex_};
    if (!happened_.wait_for(lock, wait_time(deadline),
                            [&] { return instant_ || begin_returned_; })) {
        return fail(Errc::timeout, "snapshot.timeout", "libvirt did not take the snapshot in time",
                    "see libvirtd's log; a slow scratch folder delays it");
    }
    return instant_;
}

std::optional<std::string> WatchState::broken() const {
    const std::scoped_lock lock{mutex_};
    return broken_;
}

std::optional<std::string> WatchState::verdict() const {
    const std::scoped_lock lock{mutex_};
    if (stopped_at_ && clock_.monotonic() - *stopped_at_ < resume_max) return std::nullopt;
    return broken_;
}

bool WatchState::had_io_error() const {
    const std::scoped_lock lock{mutex_};
    return io_error_;
}

bool WatchState::ending() const {
    const std::scoped_lock lock{mutex_};
    return end_expected_;
}

void WatchState::set_alarm(std::function<void()> alarm) {
    const std::scoped_lock lock{mutex_};
    alarm_ = std::move(alarm);
}

void WatchState::raise_alarm() {
    const std::scoped_lock lock{mutex_};
    if (alarm_) alarm_();
}

Status Watch::register_all(virConnectPtr connect, virDomainPtr domain, const Shared& state,
                           Ids& ids) {
    SP_TRY(register_one(
        connect, domain, state,
        [](virConnectPtr c, virDomainPtr d, void* opaque) {
            return virConnectDomainQemuMonitorEventRegister(c, d, "JOB_STATUS_CHANGE",
                                                            on_job_status, opaque, release, 0);
        },
        ids.job_status));
    SP_TRY(register_one(
        connect, domain, state,
        domain_event(VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD, VIR_DOMAIN_EVENT_CALLBACK(on_threshold)),
        ids.threshold));
    SP_TRY(register_one(
        connect, domain, state,
        domain_event(VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)),
        ids.lifecycle));
    return register_one(connect, domain, state,
                        domain_event(VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                                     VIR_DOMAIN_EVENT_CALLBACK(on_job_completed)),
                        ids.job_completed);
}

void Watch::deregister_all(virConnectPtr connect, const Ids& ids) {
    if (ids.job_status >= 0) virConnectDomainQemuMonitorEventDeregister(connect, ids.job_status);
    for (const int id : {ids.threshold, ids.lifecycle, ids.job_completed}) {
        if (id >= 0) virConnectDomainEventDeregisterAny(connect, id);
    }
}

Result<std::unique_ptr<Watch>> Watch::subscribe(std::shared_ptr<Connection> connection,
                                                const Domain& domain, const Shared& state,
                                                const env::Deadline& deadline) {
    SP_ASSIGN(const Ids ids,
              connection->call<Ids>(deadline, "subscribe to the VM's events",
                                    [domain, state](virConnectPtr connect) -> Result<Ids> {
                                        Ids made;
                                        const Status status =
                                            register_all(connect, domain.get(), state, made);
                                        if (status) return made;
                                        deregister_all(connect, made);
                                        return fail(status.error());
                                    }));
    return std::make_unique<Watch>(Key{}, std::move(connection), ids);
}

Watch::~Watch() {
    // Not waited for: events that still come find the state alive and the alarm unset.
    connection_->start<void>("end the subscription", [ids = ids_](virConnectPtr connect) -> Status {
        deregister_all(connect, ids);
        return {};
    });
}

}  // namespace stillpoint::hypervisor::libvirt
