#pragma once
#include <mutex>
#include <string>

#include "vault/vault.hpp"

namespace stillpoint::vault {

/// Collects findings: neighbouring ranges become one, and their number is bounded.
/// @threads any, concurrently
class DamageLog {
public:
    explicit DamageLog(std::size_t findings_max) : findings_max_(findings_max) {}
    /// Damage that is not tied to a point.
    void add(std::string text) { add(DamageFound{{}, {}, {}, std::move(text)}); }
    void add(DamageFound found);
    /// All findings; a last one says how many did not fit.
    [[nodiscard]] std::vector<DamageFound> take();

private:
    std::size_t findings_max_;
    std::mutex mutex_;  // guards what follows
    std::vector<DamageFound> findings_;
    std::uint64_t left_out_ = 0;
};

}  // namespace stillpoint::vault
