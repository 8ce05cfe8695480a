#pragma once
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "env/clock.hpp"
#include "vault/s3/s3_config.hpp"

namespace stillpoint::vault::s3 {

/// How long the store refuses to destroy what was uploaded ("object lock"). Its bucket must have
/// been made with it. docs/stores.md, "Object lock"
struct Retention {
    unsigned days = 0;  // 0: none
    LockMode mode = LockMode::governance;

    /// What a put says besides, for objects that data depends on: configuration, keys, packs,
    /// index, points and their copies. Runs and gc's notes live for hours and are not locked.
    /// @param now wall clock
    [[nodiscard]] std::vector<std::string> headers(const std::string& object, ByteView bytes,
                                                   env::Nanoseconds now) const;
};

inline constexpr unsigned lock_days_max = 36500;

/// @return the bytes in base 64, as S3 wants checksums
[[nodiscard]] std::string base64(ByteView bytes);

}  // namespace stillpoint::vault::s3
