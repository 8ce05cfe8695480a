#pragma once
#include <mutex>
#include <optional>
#include <string>

#include "env/cancel.hpp"
#include "env/clock.hpp"
#include "vault/s3/location.hpp"

namespace stillpoint::vault::s3 {

/// What signs requests. Never in a log, an error or a command line.
struct Credentials {
    std::string key_id;
    std::string secret;
    std::string token;           // of temporary credentials; empty: lasting ones
    env::Nanoseconds expires{};  // Clock::wall(); zero: never
};

/// Reads "name = value" lines as ~/.aws/credentials has them, below [profile], or before any
/// section. The names of the environment (AWS_ACCESS_KEY_ID=…) are understood as well.
/// @errors not_found, id "s3.no_credentials": no key and secret in that section
[[nodiscard]] Result<Credentials> parse_credentials(std::string_view text,
                                                    const std::string& profile);

/// Where credentials come from, in this order: the environment (AWS_ACCESS_KEY_ID,
/// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), `config.credentials_command`,
/// `config.credentials_file`, AWS_SHARED_CREDENTIALS_FILE, ~/.aws/credentials. Files must not be
/// readable by everybody.
/// @threads any, concurrently
class CredentialSource {
public:
    CredentialSource(const S3Config& config, Environment environment, const env::Clock& clock,
                     env::CancelToken cancel)
        : config_(config),
          environment_(std::move(environment)),
          clock_(clock),
          cancel_(std::move(cancel)) {}
    /// Kept until shortly before they expire.
    /// @errors denied, id "s3.no_credentials", "s3.credentials_open" or "s3.credentials_command" ·
    ///         cancelled
    Result<Credentials> get();
    /// The store no longer takes `used`: the next get() asks anew, unless it was done since.
    void renew(const Credentials& used);

private:
    [[nodiscard]] Result<Credentials> read() const;
    [[nodiscard]] Result<Credentials> from_command() const;
    [[nodiscard]] Result<Credentials> from_file(const std::string& path) const;

    S3Config config_;
    Environment environment_;
    const env::Clock& clock_;
    env::CancelToken cancel_;
    std::mutex mutex_;
    std::optional<Credentials> known_;
};

}  // namespace stillpoint::vault::s3
