#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "env/random.hpp"
#include "vault/s3/answer.hpp"
#include "vault/s3/http.hpp"

namespace stillpoint::vault::s3 {

/// How long to wait before attempt `attempt` + 1 (0-based): 100 ms doubled each time up to 10 s, of
/// which a random half: many hosts that failed together must not come back together.
[[nodiscard]] env::Nanoseconds backoff(unsigned attempt, const env::RandomFn& random);

/// What to make of an answer.
struct Verdict {
    enum class Kind {
        answered,  // also "not there" and "taken": the caller knows what they mean
        again,     // the same request may succeed later
        renew,     // with newer credentials
        refused,
    };
    Kind kind = Kind::answered;
    Error error;              // of again (should patience end), renew and refused
    env::Nanoseconds wait{};  // again: what the store asks for, zero: nothing
};
/// @param now Clock::wall(), to tell a wrong clock
[[nodiscard]] Verdict judge(const HttpAnswer& answer, env::Nanoseconds now);

/// What a client needs from outside; all of it is replaced in tests.
struct ClientParts {
    std::unique_ptr<Http> http;
    std::unique_ptr<CredentialSource> credentials;
    std::function<Status(env::Nanoseconds)> pause;  // ends early with cancelled
    env::RandomFn random = env::random_u64;
};

struct Patience {
    env::Nanoseconds stall_max;  // of one call with all its attempts, once the store has answered
    // Before it ever has: an address may be wrong, and somebody may sit in front of it.
    env::Nanoseconds first_answer_max = std::chrono::seconds{15};
};

/// Requests with retries: a call ends with an answer, with a refusal, or when patience ends. The
/// first call that was given up ends the client: all later ones fail at once.
/// @threads any, concurrently
class Client {
public:
    Client(std::string name, ClientParts parts, const Patience& patience, const env::Clock& clock)
        : name_(std::move(name)), parts_(std::move(parts)), patience_(patience), clock_(clock) {}

    /// @param doing for errors, e.g. "put runs/1"
    /// @return an answer of 2xx, 404, 412 or 416
    /// @errors those of Http::send(), of CredentialSource::get() and of judge() · timeout, id
    ///         "vault.store_stalled"
    Result<HttpAnswer> call(const HttpRequest& request, const std::string& doing);
    /// For people: the store.
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] env::Nanoseconds stall_max() const { return patience_.stall_max; }

private:
    struct Attempts;
    /// @return nullopt: the attempts say why, and that it is worth another
    Result<std::optional<HttpAnswer>> attempt(const HttpRequest& request, Attempts& attempts);
    [[nodiscard]] env::Nanoseconds left(const Attempts& attempts) const;
    Error give_up(const Attempts& attempts, const std::string& doing);

    const std::string name_;
    ClientParts parts_;
    const Patience patience_;
    const env::Clock& clock_;
    std::atomic<bool> has_answered_{false};
    std::mutex mutex_;
    std::optional<Error> broken_;  // guarded by the mutex
};

}  // namespace stillpoint::vault::s3
