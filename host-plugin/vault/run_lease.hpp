#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "vault/vault_core.hpp"

namespace stillpoint::vault {

/// What a run object says. Times are wall clock, nanoseconds since 1970.
struct RunRecord {
    std::uint64_t started_ns = 0;
    std::uint64_t expires_ns = 0;
    friend bool operator==(const RunRecord&, const RunRecord&) = default;
};
[[nodiscard]] Bytes encode_run(const RunRecord& record);
/// @errors corrupt, id "vault.run_damaged"
[[nodiscard]] Result<RunRecord> decode_run(ByteView plaintext);

/// A run's claim on everything it reads and writes: `runs/<id>.<n>`, each n a renewal. Objects
/// never change, so renewing writes the next one; the newest counts.
/// @threads any, concurrently
class RunLease {
public:
    static constexpr std::chrono::minutes length{30};
    static constexpr std::chrono::minutes renew_after{10};

    /// Writes the first object and starts the thread that renews.
    /// @errors busy, id "vault.run_exists"
    static Result<std::unique_ptr<RunLease>> take(const VaultCore& core, const std::string& run_id);
    ~RunLease();
    RunLease(const RunLease&) = delete;
    RunLease& operator=(const RunLease&) = delete;

    /// Renews when renew_after has passed since the last time; the thread calls it every minute.
    Status renew_if_due();
    /// @errors refused, id "vault.lease_lapsed"
    [[nodiscard]] Status alive() const;
    /// Removes the run's objects, as far as the store allows.
    void end();
    [[nodiscard]] std::uint64_t stored_bytes() const;

private:
    RunLease(const VaultCore& core, std::string run_id);
    Status put_next();
    [[nodiscard]] Status alive_locked() const;
    void renew_until_stopped();

    const VaultCore& core_;
    std::string run_id_;
    RunRecord record_;
    env::Nanoseconds renewed_{};  // monotonic
    unsigned count_ = 0;          // numbers used
    std::uint64_t stored_bytes_ = 0;
    bool lapsed_ = false;
    bool stop_ = false;
    mutable std::mutex mutex_;
    std::condition_variable stopped_;
    std::thread thread_;
};

}  // namespace stillpoint::vault
