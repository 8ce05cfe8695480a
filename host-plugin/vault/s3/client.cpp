#include "vault/s3/client.hpp"

#include <algorithm>

namespace stillpoint::vault::s3 {
namespace {

constexpr unsigned renewals_max = 1;  // newer credentials that fail as well are just wrong

bool worth_another(const Error& error) {
    return error.id == "s3.unreachable" || error.id == "s3.cut" || error.id == "s3.slow";
}

std::string in_seconds(env::Nanoseconds time) {
    return std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

std::string HttpAnswer::header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string{} : found->second;
}

struct Client::Attempts {
    env::Nanoseconds began;
    unsigned count = 0;
    unsigned renewals = 0;
    Error last;                   // why another one is needed
    env::Nanoseconds wait_min{};  // as the store asked for
};

env::Nanoseconds Client::left(const Attempts& attempts) const {
    const auto max = has_answered_ ? patience_.stall_max
                                   : std::min(patience_.stall_max, patience_.first_answer_max);
    return attempts.began + max - clock_.monotonic();
}

Result<std::optional<HttpAnswer>> Client::attempt(const HttpRequest& request, Attempts& attempts) {
    SP_ASSIGN(const Credentials credentials, parts_.credentials->get());
    auto answer = parts_.http->send(request, credentials, left(attempts));
    attempts.wait_min = {};
    if (!answer) {
        if (!worth_another(answer.error())) return fail(answer.error());
        attempts.last = answer.error();
        return std::nullopt;
    }
    // A proxy in front of nothing says 502 or 503 as well, but in words of its own.
    if (answer->status < 500 || !parse_refusal(answer->body).code.empty()) has_answered_ = true;
    Verdict verdict = judge(*answer, clock_.wall());
    switch (verdict.kind) {
        case Verdict::Kind::answered:
            return std::optional{std::move(*answer)};
        case Verdict::Kind::refused:
            return fail(std::move(verdict.error));
        case Verdict::Kind::renew:
            if (attempts.renewals++ == renewals_max) return fail(std::move(verdict.error));
            parts_.credentials->renew(credentials);
            break;
        case Verdict::Kind::again:
            break;
    }
    attempts.last = std::move(verdict.error);
    attempts.wait_min = verdict.wait;
    return std::nullopt;
}

Error Client::give_up(const Attempts& attempts, const std::string& doing) {
    const std::scoped_lock lock{mutex_};
    if (broken_) return *broken_;
    if (!has_answered_) {
        broken_ = in_step(name_ + " does not answer (" + doing + ")", attempts.last);
    } else {
        broken_ = Error{Errc::timeout, "vault.store_stalled",
                        "the store " + name_ + " did not finish to " + doing + " within " +
                            in_seconds(patience_.stall_max) + " and " +
                            std::to_string(attempts.count) + " attempts: " + attempts.last.text,
                        "see whether it still answers: its disk, its network, its server"};
    }
    return *broken_;
}

Result<HttpAnswer> Client::call(const HttpRequest& request, const std::string& doing) {
    {
        const std::scoped_lock lock{mutex_};
        if (broken_) return fail(*broken_);
    }
    Attempts attempts{.began = clock_.monotonic()};
    while (true) {
        auto answer = attempt(request, attempts);
        if (!answer) {
            return fail(answer.error().code == Errc::cancelled
                            ? answer.error()
                            : in_step(name_ + ": " + doing, answer.error()));
        }
        if (*answer) return std::move(**answer);
        const env::Nanoseconds wait =
            std::max(backoff(attempts.count++, parts_.random), attempts.wait_min);
        if (wait >= left(attempts)) return fail(give_up(attempts, doing));
        SP_TRY(parts_.pause(wait));
    }
}

}  // namespace stillpoint::vault::s3
