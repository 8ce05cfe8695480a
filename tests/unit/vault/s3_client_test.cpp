// Retries and refusals, with an HTTP that says what the test wants and a clock that never waits.
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>

#include "support/fake_clock.hpp"
#include "vault/s3/s3_store.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using namespace stillpoint::vault::s3;
using namespace std::chrono_literals;

namespace {

HttpAnswer answer_of(int status, const std::string& code = {},
                     std::map<std::string, std::string> headers = {}) {
    const std::string body =
        code.empty() ? "" : "<Error><Code>" + code + "</Code><Message>said</Message></Error>";
    return {status, std::move(headers), to_bytes(as_bytes(body))};
}

Error cut() {
    return {Errc::io, "s3.cut", "connection reset", {}};
}

class ScriptedHttp final : public Http {
public:
    Result<HttpAnswer> send(const HttpRequest& request, const Credentials& credentials,
                            env::Nanoseconds limit) override {
        seen.push_back(request);
        keys.push_back(credentials.key_id);
        limits.push_back(limit);
        REQUIRE_FALSE(script.empty());
        auto next = script.front();
        if (script.size() > 1) script.pop_front();  // the last one is said for ever
        if (!next) return fail(next.error());
        if (echo_mark && request.method == "HEAD") {
            const std::string& mark = seen.front().headers.back();
            next->headers["x-amz-meta-stillpoint-put"] = mark.substr(mark.find(' ') + 1);
        }
        return next;
    }
    std::deque<Result<HttpAnswer>> script;
    bool echo_mark = false;  // a HEAD shows the mark of the first PUT
    std::vector<HttpRequest> seen;
    std::vector<std::string> keys;
    std::vector<env::Nanoseconds> limits;
};

struct Fixture {
    explicit Fixture(std::deque<Result<HttpAnswer>> script, const Retention& lock = {}) {
        auto owned = std::make_unique<ScriptedHttp>();
        http = owned.get();
        http->script = std::move(script);
        ClientParts parts;
        parts.http = std::move(owned);
        parts.credentials = std::make_unique<CredentialSource>(
            config,
            [this](const char* name) {
                const std::string asked = name;
                if (asked == "AWS_ACCESS_KEY_ID") return "KEY" + std::to_string(credentials_read++);
                return asked == "AWS_SECRET_ACCESS_KEY" ? std::string{"hunter2"} : std::string{};
            },
            clock, env::CancelToken{});
        parts.pause = [this](env::Nanoseconds time) -> Status {
            pauses.push_back(time);
            clock.advance(time);
            return {};
        };
        parts.random = [] { return std::uint64_t{77}; };
        store =
            std::make_unique<S3Store>(Location{.bucket = "bkt", .prefix = "v/", .lock = lock},
                                      std::make_unique<Client>("s3://bkt/v", std::move(parts),
                                                               Patience{.stall_max = 600s}, clock),
                                      clock);
    }
    test::FakeClock clock;
    S3Config config;
    unsigned credentials_read = 0;
    ScriptedHttp* http = nullptr;
    std::vector<env::Nanoseconds> pauses;
    std::unique_ptr<S3Store> store;
};

}  // namespace

TEST_CASE("vault/s3: what may pass is tried again, later and later") {
    Fixture f{{answer_of(503, "SlowDown"), fail(cut()), answer_of(500, "InternalError"),
               answer_of(400, "XAmzContentSHA256Mismatch"),
               answer_of(409, "ConditionalRequestConflict"), answer_of(200)}};
    REQUIRE(f.store->put("runs/a", as_bytes("x")));
    REQUIRE(f.pauses.size() == 5);
    for (std::size_t i = 0; i < f.pauses.size(); ++i) {
        const auto whole = 100ms * (1 << i);
        CHECK(f.pauses[i] >= whole / 2);
        CHECK(f.pauses[i] <= whole);
    }
    // Every attempt is the same conditional write, under the same mark.
    for (const HttpRequest& request : f.http->seen) {
        CHECK(request.method == "PUT");
        CHECK(request.headers == f.http->seen[0].headers);
        CHECK(request.headers[0] == "if-none-match: *");
    }
}

TEST_CASE("vault/s3: a store that says when to come again is waited for") {
    Fixture f{{answer_of(503, "SlowDown", {{"retry-after", "7"}}),
               answer_of(503, "SlowDown", {{"retry-after", "999999"}}), answer_of(204)}};
    REQUIRE(f.store->remove("runs/a"));
    CHECK(f.pauses == std::vector<env::Nanoseconds>{7s, 60s});
}

TEST_CASE("vault/s3: waits double up to ten seconds, of which half is random") {
    const auto least = [] { return std::uint64_t{0}; };
    const auto most = [] { return std::uint64_t{5000}; };
    CHECK(backoff(0, least) == 50ms);
    CHECK(backoff(3, least) == 400ms);
    CHECK(backoff(7, least) == 5s);
    CHECK(backoff(4'000'000'000u, least) == 5s);
    CHECK(backoff(30, most) <= 10s);
    CHECK(backoff(30, most) > 5s);
}

TEST_CASE("vault/s3: a store that never answered is given up soon, one that did after the stall") {
    Fixture never{{fail({Errc::io, "s3.unreachable", "refused", "look"})}};
    const auto early = never.store->size("config");
    REQUIRE_FALSE(early);
    CHECK(early.error().id == "s3.unreachable");
    CHECK(early.error().text.find("s3://bkt/v does not answer (look at config)") == 0);
    CHECK(never.clock.monotonic() <= 15s);
    CHECK(never.clock.monotonic() > 5s);

    Fixture stalled{{answer_of(404), fail(cut())}};
    CHECK(stalled.store->size("config").error().id == "store.missing");
    const auto late = stalled.store->remove("runs/a");
    REQUIRE_FALSE(late);
    CHECK(late.error().id == "vault.store_stalled");
    CHECK(late.error().code == Errc::timeout);
    CHECK(late.error().text.find("connection reset") != std::string::npos);
    CHECK(stalled.clock.monotonic() > 580s);
    CHECK(stalled.clock.monotonic() <= 600s);
    for (const auto limit : stalled.http->limits) CHECK(limit <= 600s);
    // From then on nothing is tried any more: a run that lost its store is over.
    const std::size_t before = stalled.http->seen.size();
    CHECK(stalled.store->put("a", {}).error().id == "vault.store_stalled");
    CHECK(stalled.http->seen.size() == before);
}

TEST_CASE("vault/s3: a put whose answer got lost is recognized as our own") {
    Fixture ours{{fail(cut()), answer_of(412, "PreconditionFailed"), answer_of(200)}};
    ours.http->echo_mark = true;
    CHECK(ours.store->put("points/p", as_bytes("x")));
    CHECK(ours.http->seen.back().method == "HEAD");

    // libcurl repeats by itself what a kept connection swallowed: the first answer may be a 412.
    Fixture repeated{{answer_of(412, "PreconditionFailed"), answer_of(200)}};
    repeated.http->echo_mark = true;
    CHECK(repeated.store->put("points/p", as_bytes("x")));

    Fixture taken{{fail(cut()), answer_of(412, "PreconditionFailed"),
                   answer_of(200, "", {{"x-amz-meta-stillpoint-put", "another"}})}};
    CHECK(taken.store->put("points/p", as_bytes("x")).error().id == "store.exists");
    Fixture gone{{answer_of(412, "PreconditionFailed"), answer_of(404)}};
    CHECK(gone.store->put("points/p", as_bytes("x")).error().id == "store.exists");
}

TEST_CASE("vault/s3: refusals name the store, the object and the remedy, and are not repeated") {
    struct Row {
        HttpAnswer answer;
        Errc code;
        const char* id;
        const char* says;
    };
    const std::vector<Row> rows{
        {answer_of(403, "AccessDenied"), Errc::denied, "s3.denied", "AccessDenied (said)"},
        {answer_of(404, "NoSuchBucket"), Errc::not_found, "s3.no_bucket", "NoSuchBucket"},
        {answer_of(403, "RequestTimeTooSkewed", {{"date", "Tue, 14 Nov 2023 22:36:40 GMT"}}),
         Errc::denied, "s3.clock_skew", "the clock of this host is 1400 s behind the store's"},
        {answer_of(301, "PermanentRedirect", {{"x-amz-bucket-region", "eu-west-3"}}), Errc::invalid,
         "s3.wrong_region", "eu-west-3"},
        {answer_of(307, "TemporaryRedirect"), Errc::invalid, "s3.redirect", "another address"},
        {answer_of(403, "QuotaExceeded"), Errc::no_space, "s3.quota", "QuotaExceeded"},
        {answer_of(501, "NotImplemented"), Errc::unsupported, "s3.unsupported", "NotImplemented"},
        {answer_of(418), Errc::io, "s3.failed", "HTTP status 418"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.id);
        Fixture f{{row.answer}};
        const Status refused = f.store->put("runs/a", as_bytes("x"));
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == row.code);
        CHECK(refused.error().id == row.id);
        CHECK(refused.error().text.find("s3://bkt/v: put runs/a: ") == 0);
        CHECK(refused.error().text.find(row.says) != std::string::npos);
        CHECK_FALSE(refused.error().remedy.empty());
        CHECK((refused.error().text + refused.error().remedy).find("hunter2") == std::string::npos);
        CHECK(f.pauses.empty());
    }
}

TEST_CASE("vault/s3: credentials that are no longer taken are asked for once more") {
    Fixture f{{answer_of(403, "ExpiredToken"), answer_of(204)}};
    CHECK(f.store->remove("runs/a"));
    CHECK(f.http->keys == std::vector<std::string>{"KEY0", "KEY1"});
    Fixture wrong{{answer_of(403, "SignatureDoesNotMatch")}};
    const Status refused = wrong.store->remove("runs/a");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().id == "s3.bad_credentials");
    CHECK(wrong.http->seen.size() == 2);
}

TEST_CASE("vault/s3: a refused HEAD, which has no body, is asked for its reasons") {
    Fixture f{{answer_of(403), answer_of(403, "RequestTimeTooSkewed")}};
    CHECK(f.store->size("config").error().id == "s3.clock_skew");
    Fixture denied{{answer_of(403), answer_of(403, "AccessDenied")}};
    CHECK(denied.store->size("config").error().id == "s3.denied");
}

TEST_CASE("vault/s3: a part of an object is exactly what was asked for, or an error") {
    const auto got = [](HttpAnswer answer, const std::string& body) {
        answer.body = to_bytes(as_bytes(body));
        Fixture f{{answer}};
        return f.store->get("a", ByteOffset{3}, ByteCount{4});
    };
    const auto part = [](const std::string& range) {
        return answer_of(206, "", {{"content-range", range}});
    };
    CHECK(as_text(got(part("bytes 3-6/10"), "3456").value()) == "3456");
    CHECK(got(part("bytes 3-4/5"), "34").error().id == "store.short");
    CHECK(got(answer_of(416), "").error().id == "store.short");
    CHECK(got(answer_of(404), "").error().id == "store.missing");
    // A shorter body than was said, another place, and a proxy that knows no ranges.
    CHECK(got(part("bytes 3-6/10"), "345").error().id == "s3.protocol");
    CHECK(got(part("bytes 2-5/10"), "2345").error().id == "s3.protocol");
    CHECK(got(part(""), "3456").error().id == "s3.protocol");
    CHECK(got(answer_of(200), "3456").error().id == "s3.protocol");
}

TEST_CASE("vault/s3: the end of an object is one request, and what was asked for or an error") {
    const auto got = [](HttpAnswer answer, const std::string& body) {
        answer.body = to_bytes(as_bytes(body));
        Fixture f{{answer}};  // a second request finds no answer
        return f.store->get_end("a", ByteCount{4});
    };
    const auto part = [](const std::string& range) {
        return answer_of(206, "", {{"content-range", range}});
    };
    const auto some = got(part("bytes 6-9/10"), "6789");
    CHECK(as_text(some.value().bytes) == "6789");
    CHECK(some.value().size == ByteCount{10});
    CHECK(got(part("bytes 0-1/2"), "01").value().is_whole());
    CHECK(got(answer_of(200), "01").value().is_whole());  // all there is, as stores may say it
    CHECK(got(answer_of(404), "").error().id == "store.missing");
    // A shorter body than was said, less than was asked for, another place, no place.
    CHECK(got(part("bytes 6-9/10"), "678").error().id == "s3.protocol");
    CHECK(got(part("bytes 7-9/10"), "789").error().id == "s3.protocol");
    CHECK(got(part("bytes 5-8/10"), "5678").error().id == "s3.protocol");
    CHECK(got(part(""), "6789").error().id == "s3.protocol");
}

TEST_CASE("vault/s3: lists go on page by page, and one that turns in circles ends") {
    const auto page = [](const std::string& key, const std::string& next) {
        HttpAnswer answer{200, {}, {}};
        answer.body = to_bytes(as_bytes(
            "<ListBucketResult><IsTruncated>" + std::string(next.empty() ? "false" : "true") +
            "</IsTruncated><NextContinuationToken>" + next + "</NextContinuationToken><Contents>" +
            "<Key>v/" + key + "</Key><Size>1</Size></Contents></ListBucketResult>"));
        return answer;
    };
    Fixture f{{page("packs/b", "t/1"), page("packs/a", "")}};
    const auto found = f.store->list("packs/");
    REQUIRE(found);
    REQUIRE(found->size() == 2);
    CHECK(found->at(0).name == "packs/a");
    CHECK(f.http->seen[0].query == "list-type=2&prefix=v%2Fpacks%2F");
    CHECK(f.http->seen[1].query == "continuation-token=t%2F1&list-type=2&prefix=v%2Fpacks%2F");
    Fixture circle{{page("packs/b", "t")}};
    CHECK(circle.store->list("packs/").error().id == "s3.protocol");
}

TEST_CASE("vault/s3: a retention goes with what data depends on, and with nothing else") {
    Fixture f{{answer_of(200)}, {.days = 30, .mode = LockMode::compliance}};
    const std::string until = "x-amz-object-lock-retain-until-date: " +
                              env::rfc3339(f.clock.wall() + std::chrono::days{30});
    for (const char* name :
         {"config", "keys/00", "packs/ab/cd", "index/01", "points/02", "copies/02"}) {
        CAPTURE(name);
        REQUIRE(f.store->put(name, as_bytes("abc")));
        const auto& said = f.http->seen.back().headers;
        CHECK(std::ranges::count(said, "x-amz-object-lock-mode: COMPLIANCE") == 1);
        CHECK(std::ranges::count(said, until) == 1);
        CHECK(std::ranges::count(said,
                                 "x-amz-checksum-sha256: "
                                 "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=") == 1);
    }
    for (const char* name :
         {"runs/03.0", "condemned/04", "waits/04", "forgotten/02", "recovered/02", "probe/05"}) {
        CAPTURE(name);
        REQUIRE(f.store->put(name, as_bytes("abc")));
        CHECK(f.http->seen.back().headers.size() == 2);
    }
}

TEST_CASE("vault/s3: a bucket without object lock is named as such") {
    Fixture f{{answer_of(400, "InvalidRequest")}, {.days = 1}};
    CHECK(f.store->put("packs/ab/cd", as_bytes("x")).error().id == "s3.no_lock");
    Fixture without{{answer_of(400, "InvalidRequest")}};
    CHECK(without.store->put("packs/ab/cd", as_bytes("x")).error().id == "s3.failed");
}

TEST_CASE("vault/s3: base 64") {
    CHECK(base64({}).empty());
    CHECK(base64(as_bytes("f")) == "Zg==");
    CHECK(base64(as_bytes("ab")) == "YWI=");
    CHECK(base64(as_bytes("foo")) == "Zm9v");
    CHECK(base64(as_bytes("foobar")) == "Zm9vYmFy");
}
