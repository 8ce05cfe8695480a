#include "vault/run_lease.hpp"

#include "vault/object_names.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::chrono::minutes look_every{1};
constexpr unsigned renewals_max = 100'000;  // almost two years

std::uint64_t since_epoch_ns(env::Nanoseconds wall) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(wall.count(), 0));
}

}  // namespace

Bytes encode_run(const RunRecord& record) {
    Bytes out;
    ByteWriter{out}.u64(record.started_ns).u64(record.expires_ns);
    return out;
}

Result<RunRecord> decode_run(ByteView plaintext) {
    ByteReader reader{plaintext};
    const auto started = reader.u64();
    const auto expires = reader.u64();
    if (!started || !expires || !reader.finish()) {
        return fail(Errc::corrupt, "vault.run_damaged", "a run object's length is wrong");
    }
    return RunRecord{*started, *expires};
}

RunLease::RunLease(const VaultCore& core, std::string run_id)
    : core_(core), run_id_(std::move(run_id)) {
    record_.started_ns = since_epoch_ns(core_.clock.wall());
}

Result<std::unique_ptr<RunLease>> RunLease::take(const VaultCore& core, const std::string& run_id) {
    std::unique_ptr<RunLease> lease{new RunLease{core, run_id}};  // NOLINT: private constructor
    const Status put = lease->put_next();
    if (!put && put.error().id == "store.exists") {
        return fail(Errc::busy, "vault.run_exists", "a run " + run_id + " was there before");
    }
    SP_TRY(put);
    lease->thread_ = std::thread{[raw = lease.get()] { raw->renew_until_stopped(); }};
    return lease;
}

RunLease::~RunLease() {
    {
        const std::scoped_lock lock{mutex_};
        stop_ = true;
    }
    stopped_.notify_all();
    if (thread_.joinable()) thread_.join();
}

Status RunLease::put_next() {
    // Time is taken before the put: a slow store shortens the lease, it never lengthens it.
    const env::Nanoseconds now = core_.clock.monotonic();
    RunRecord next = record_;
    next.expires_ns = since_epoch_ns(core_.clock.wall() + length);
    // A number is used once, also when its put failed: the object may be there all the same.
    const std::string name = names::runs + run_id_ + "." + std::to_string(count_++);
    SP_ASSIGN(const std::uint64_t stored,
              put_object(core_, ObjectKind::run, name, encode_run(next)));
    stored_bytes_ += stored;
    record_ = next;
    renewed_ = now;
    return {};
}

Status RunLease::alive_locked() const {
    // The monotonic clock stands still while the host sleeps, the wall clock can be set back:
    // either one is enough to end the lease.
    if (!lapsed_ && core_.clock.monotonic() < renewed_ + length &&
        since_epoch_ns(core_.clock.wall()) < record_.expires_ns) {
        return {};
    }
    return fail(Errc::refused, "vault.lease_lapsed",
                "run " + run_id_ + " could not renew its claim on the vault in time",
                "run the backup again");
}

Status RunLease::alive() const {
    const std::scoped_lock lock{mutex_};
    return alive_locked();
}

Status RunLease::renew_if_due() {
    const std::scoped_lock lock{mutex_};
    const Status alive = alive_locked();
    // Once lapsed, always lapsed: a gc may have counted us as gone in between.
    if (!alive) lapsed_ = true;
    SP_TRY(alive);
    if (core_.clock.monotonic() < renewed_ + renew_after || count_ >= renewals_max) return {};
    return put_next();
}

void RunLease::renew_until_stopped() {
    std::unique_lock lock{mutex_};
    while (!stopped_.wait_for(lock, look_every, [&] { return stop_; })) {
        lock.unlock();
        (void)renew_if_due();  // tried again in a minute; publishing asks alive()
        lock.lock();
    }
}

void RunLease::end() {
    const std::scoped_lock lock{mutex_};
    for (unsigned n = 0; n < count_; ++n) {
        // A store that only lets us add keeps them; gc removes them once they expired.
        (void)core_.store.remove(names::runs + run_id_ + "." + std::to_string(n));
    }
    count_ = 0;
    lapsed_ = true;
}

std::uint64_t RunLease::stored_bytes() const {
    const std::scoped_lock lock{mutex_};
    return stored_bytes_;
}

}  // namespace stillpoint::vault
