#include <doctest/doctest.h>

#include <map>

#include "vault/s3/location.hpp"
#include "vault/vault.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using namespace stillpoint::vault::s3;

namespace {

Environment environment(std::map<std::string, std::string> values = {}) {
    return [values = std::move(values)](const char* name) {
        const auto found = values.find(name);
        return found == values.end() ? std::string{} : found->second;
    };
}

Location located(const std::string& url, const S3Config& config = {},
                 const Environment& from = environment()) {
    const auto location = locate(url, config, from);
    REQUIRE_MESSAGE(location, url);
    return *location;
}

}  // namespace

TEST_CASE("vault/s3: without an endpoint it is AWS, the bucket in the host's name") {
    const Location aws = located("s3://my-bucket/vm/vault/?region=eu-central-1");
    CHECK(aws.base_url() == "https://my-bucket.s3.eu-central-1.amazonaws.com/vm/vault/");
    CHECK(aws.describe() == "s3://my-bucket/vm/vault");
    CHECK(located("s3://my-bucket").base_url() == "https://my-bucket.s3.us-east-1.amazonaws.com/");
    CHECK(located("s3://my-bucket").describe() == "s3://my-bucket");
    // No certificate is valid for two levels below the endpoint.
    CHECK(located("s3://my.bucket").base_url() == "https://s3.us-east-1.amazonaws.com/my.bucket/");
}

TEST_CASE("vault/s3: an endpoint of one's own, by path unless said otherwise") {
    const std::string url = "s3://bkt/v?endpoint=https://s3.example.org:7480/";
    CHECK(located(url).base_url() == "https://s3.example.org:7480/bkt/v/");
    CHECK(located(url + "&addressing=virtual").base_url() == "https://bkt.s3.example.org:7480/v/");
    CHECK(located("s3://bkt?endpoint=http://[::1]:80").base_url() == "http://[::1]:80/bkt/");
}

TEST_CASE("vault/s3: the URL goes before the environment, the environment before host.xml") {
    const S3Config config{.endpoint = "http://config", .region = "r-config", .ca_file = "/config"};
    const auto set = environment({{"AWS_ENDPOINT_URL", "http://general"},
                                  {"AWS_ENDPOINT_URL_S3", "http://special"},
                                  {"AWS_REGION", "r-environment"},
                                  {"AWS_CA_BUNDLE", "/environment"}});
    CHECK(located("s3://bkt", config).endpoint == "http://config");
    CHECK(located("s3://bkt", config).region == "r-config");
    CHECK(located("s3://bkt", config).ca_file == "/config");
    CHECK(located("s3://bkt", config, set).endpoint == "http://special");
    CHECK(located("s3://bkt", config, set).region == "r-environment");
    CHECK(located("s3://bkt", config, set).ca_file == "/environment");
    const auto both = located("s3://bkt?region=r-url&endpoint=http://url", config, set);
    CHECK(both.endpoint == "http://url");
    CHECK(both.region == "r-url");
}

TEST_CASE("vault/s3: a lock from the URL, else from host.xml") {
    const S3Config config{.lock_days = 7, .lock_mode = LockMode::compliance};
    CHECK(located("s3://bkt").lock.days == 0);
    CHECK(located("s3://bkt", config).lock.days == 7);
    CHECK(located("s3://bkt", config).lock.mode == LockMode::compliance);
    const Location own = located("s3://bkt?lock=30d&lock-mode=governance", config);
    CHECK(own.lock.days == 30);
    CHECK(own.lock.mode == LockMode::governance);
}

TEST_CASE("vault/s3: what is no URL of a vault is refused, and never repeated") {
    for (const char* url : {"s3://",
                            "s3://ab",
                            "s3://BUCKET/x",
                            "s3://bkt/../x",
                            "s3://bkt/a//b",
                            "s3://bkt/a b",
                            "s3://KEY:hunter2@bkt/x",
                            "s3://bkt/x?secret=hunter2",
                            "s3://bkt?endpoint=ftp://h",
                            "s3://bkt?endpoint=http://user:hunter2@h",
                            "s3://bkt?endpoint=http://h/path",
                            "s3://bkt?region=a/b",
                            "s3://bkt?addressing=both",
                            "s3://bkt?region=a&region=b",
                            "s3://bkt?lock=0d",
                            "s3://bkt?lock=30",
                            "s3://bkt?lock=36501d",
                            "s3://bkt?lock-mode=soft",
                            "s3://bkt?region",
                            "s3://bkt-",
                            "s3://bkt\n/x"}) {
        CAPTURE(url);
        const auto refused = locate(url, {}, environment());
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code == Errc::invalid);
        CHECK(refused.error().id == "s3.url");
        CHECK(refused.error().text.find("hunter2") == std::string::npos);
    }
    CHECK(open_store("s3://b").error().id == "s3.url");
}
