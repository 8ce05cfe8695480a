// libcurl against a server on loopback that says what no store should.
#include <doctest/doctest.h>

#include "fakes/http_script.hpp"
#include "vault/s3/curl_http.hpp"

using namespace stillpoint;
using namespace stillpoint::vault::s3;
using namespace std::chrono_literals;
using fakes::http_answer;
using fakes::HttpDone;
using fakes::HttpScript;
using fakes::HttpSeen;

namespace {

const Credentials keys{.key_id = "AK", .secret = "hunter2", .token = "tok"};

struct Fixture {
    explicit Fixture(HttpScript::Answer answer) : server(std::move(answer)) {}
    Result<HttpAnswer> send(const HttpRequest& request, env::Nanoseconds limit = 30s) {
        return http.send(request, keys, limit);
    }
    Result<HttpAnswer> get(std::uint64_t answer_max = 100) {
        return send({.method = "GET", .key = "a", .answer_max = ByteCount{answer_max}});
    }
    HttpScript server;
    env::CancelToken cancel;
    Location location{.bucket = "bkt", .prefix = "v/", .endpoint = server.url(), .region = "here"};
    CurlHttp http{location, {.connect = 5s, .silence = 1s}, cancel};
};

HttpDone says(const std::string& bytes) {
    return {.bytes = bytes};
}

}  // namespace

TEST_CASE("vault/s3-http: requests are signed, whole, and carry no secret") {
    Fixture f{[](const HttpSeen&, std::size_t) { return says(http_answer("200 OK", "")); }};
    const Bytes body(3u << 20, std::byte{'x'});
    REQUIRE(f.send({.method = "PUT",
                    .key = "packs/a",
                    .headers = {"if-none-match: *"},
                    .body = body,
                    .answer_max = ByteCount{10}}));
    REQUIRE(f.send({.method = "GET", .query = "list-type=2", .answer_max = ByteCount{10}}));
    REQUIRE(f.send({.method = "PUT", .key = "empty", .answer_max = ByteCount{10}}));
    REQUIRE(f.send({.method = "DELETE", .key = "a", .answer_max = ByteCount{10}}));
    REQUIRE(f.send({.method = "HEAD", .key = "a"}));
    const auto seen = f.server.seen();
    REQUIRE(seen.size() == 5);
    CHECK(seen[0].head.find("PUT /bkt/v/packs/a HTTP/1.1\r\n") == 0);
    CHECK(seen[0].body == as_text(body));
    CHECK(seen[0].head.find("if-none-match: *\r\n") != std::string::npos);
    CHECK(seen[0].head.find("SignedHeaders=content-type;") != std::string::npos);
    CHECK(seen[0].head.find("if-none-match;") != std::string::npos);
    CHECK(seen[1].head.find("GET /bkt?list-type=2 HTTP/1.1\r\n") == 0);
    CHECK(seen[2].head.find("PUT /bkt/v/empty ") == 0);
    CHECK(seen[2].head.find("Content-Length: 0\r\n") != std::string::npos);
    CHECK(seen[3].head.find("DELETE /bkt/v/a ") == 0);
    CHECK(seen[4].head.find("HEAD /bkt/v/a ") == 0);
    for (const HttpSeen& request : seen) {
        CHECK(request.connection == 0);  // one, kept
        CHECK(request.head.find("hunter2") == std::string::npos);
        CHECK(request.head.find("x-amz-security-token: tok") != std::string::npos);
        CHECK(request.head.find("Credential=AK/") != std::string::npos);
        CHECK(request.head.find("/here/s3/aws4_request") != std::string::npos);
    }
}

TEST_CASE("vault/s3-http: answers come with status, headers and body") {
    Fixture f{[](const HttpSeen&, std::size_t) {
        return says(http_answer("206 Partial Content", "0123",
                                "Content-Range:  bytes 0-3/9 \r\nX-Empty:\r\n"));
    }};
    const auto answer = f.get();
    REQUIRE(answer);
    CHECK(answer->status == 206);
    CHECK(as_text(answer->body) == "0123");
    CHECK(answer->header("content-range") == "bytes 0-3/9");
    CHECK(answer->header("x-empty").empty());
    CHECK(answer->header("absent").empty());
}

TEST_CASE("vault/s3-http: cut, short, long and silent answers are errors") {
    const auto id = [](HttpDone done) {
        Fixture f{[&](const HttpSeen&, std::size_t) { return done; }};
        const auto answer = f.get();
        REQUIRE_FALSE(answer);
        CHECK(answer.error().text.find("hunter2") == std::string::npos);
        return answer.error().id;
    };
    CHECK(id({.bytes = "", .close = true}) == "s3.cut");
    CHECK(id({.bytes = "HTTP/1.1 200 OK\r\nContent-Le", .close = true}) == "s3.cut");
    CHECK(id({.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", .close = true}) ==
          "s3.cut");
    CHECK(id(says(http_answer("200 OK", std::string(101, 'x')))) == "s3.protocol");
    CHECK(id({.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", .hang = true}) ==
          "s3.slow");
    CHECK(id({.bytes = "SSH-2.0-OpenSSH\r\n", .close = true}) == "s3.protocol");
}

TEST_CASE("vault/s3-http: a refusal may be longer than the answer would have been, within limits") {
    Fixture f{[](const HttpSeen&, std::size_t number) {
        return says(http_answer("403 Forbidden", std::string(number == 0 ? 1000 : 100'000, 'x')));
    }};
    CHECK(f.get(1)->body.size() == 1000);
    CHECK(f.get(1).error().id == "s3.protocol");
}

TEST_CASE("vault/s3-http: a redirect is an answer, not a way to another host") {
    Fixture f{[](const HttpSeen&, std::size_t) {
        return says(http_answer("307 Temporary Redirect", "", "Location: http://127.0.0.1:1/\r\n"));
    }};
    CHECK(f.get()->status == 307);
    CHECK(f.server.seen().size() == 1);
}

TEST_CASE("vault/s3-http: nobody there, and a wish to stop") {
    std::string closed;
    {
        const HttpScript gone{[](const HttpSeen&, std::size_t) { return HttpDone{}; }};
        closed = gone.url();
    }
    CurlHttp nobody{{.bucket = "bkt", .endpoint = closed, .region = "r"}, {}, {}};
    const auto refused = nobody.send({.method = "HEAD", .key = "a"}, keys, 5s);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().id == "s3.unreachable");
    CHECK(refused.error().remedy.find(closed) != std::string::npos);

    Fixture f{[&](const HttpSeen&, std::size_t) {
        f.cancel.cancel();  // while the client waits for the answer
        return HttpDone{.bytes = {}, .hang = true};
    }};
    CHECK(f.get().error().code == Errc::cancelled);
    CHECK(f.get().error().code == Errc::cancelled);  // and nothing is sent afterwards
    CHECK(f.server.seen().size() == 1);
}

TEST_CASE("vault/s3-http: each request under way has its connection; all are kept") {
    Fixture f{[](const HttpSeen&, std::size_t) { return says(http_answer("200 OK", "")); }};
    for (int round = 0; round < 5; ++round) {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] { CHECK(f.get()); });
        }
    }
    const auto seen = f.server.seen();
    CHECK(seen.size() == 20);
    for (const HttpSeen& request : seen) CHECK(request.connection < 4);
}
