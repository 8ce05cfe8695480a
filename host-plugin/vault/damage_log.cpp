#include "vault/damage_log.hpp"

namespace stillpoint::vault {
namespace {

bool touches(const DamageFound& earlier, const DamageFound& later) {
    return earlier.range.length.raw() != 0 && later.range.length.raw() != 0 &&
           earlier.point == later.point && earlier.disk == later.disk &&
           end_of(earlier.range) == later.range.at;
}

}  // namespace

void DamageLog::add(DamageFound found) {
    const std::scoped_lock lock{mutex_};
    if (!findings_.empty() && touches(findings_.back(), found)) {
        findings_.back().range.length += found.range.length;
        return;  // the first text stands for the whole range
    }
    if (findings_.size() >= findings_max_) {
        ++left_out_;
        return;
    }
    findings_.push_back(std::move(found));
}

std::vector<DamageFound> DamageLog::take() {
    const std::scoped_lock lock{mutex_};
    if (left_out_ != 0) {
        findings_.push_back({{}, {}, {}, std::to_string(left_out_) + " more findings left out"});
        left_out_ = 0;
    }
    return std::move(findings_);
}

}  // namespace stillpoint::vault
