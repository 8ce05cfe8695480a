#include <doctest/doctest.h>

#include "vault/s3/answer.hpp"

using namespace stillpoint;
using namespace stillpoint::vault::s3;
using namespace std::chrono_literals;

namespace {

std::string list_of(const std::string& contents, const std::string& end) {
    return "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult "
           "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>" +
           contents + end + "</ListBucketResult>";
}
std::string item(const std::string& key, const std::string& size = "7") {
    return "<Contents><Key>" + key + "</Key><LastModified>2026-11-26T11:14:14.845Z</LastModified>" +
           "<Size>" + size + "</Size></Contents>";
}
const std::string last_page = "<IsTruncated>false</IsTruncated>";

}  // namespace

TEST_CASE("vault/s3: a page of a list") {
    const auto page =
        parse_list(as_bytes(list_of(item("v/packs/a") + item("v/config") + item("other") +
                                        item("v/A B") + item("v/"),
                                    "<IsTruncated>true</IsTruncated>"
                                    "<NextContinuationToken>t/1=</NextContinuationToken>")),
                   "v/");
    REQUIRE(page);
    REQUIRE(page->objects.size() == 2);
    CHECK(page->objects[0].name == "packs/a");
    CHECK(page->objects[0].size == ByteCount{7});
    CHECK(page->objects[0].modified_ns == 1'795'691'654ull * 1'000'000'000);
    CHECK(page->next == "t/1=");
    CHECK(parse_list(as_bytes(list_of("", last_page)), "")->next.empty());
}

TEST_CASE("vault/s3: half a list is never taken for the whole") {
    for (const std::string& bad :
         {std::string{}, std::string{"<html/>"}, list_of("", ""),
          list_of(item("v/a"), "<IsTruncated>true</IsTruncated>"),
          list_of(item("v/a"), "<IsTruncated>maybe</IsTruncated>"),
          list_of(item("v/a", "-1"), last_page), list_of(item("v/a", ""), last_page),
          list_of("", last_page + "<NextContinuationToken>x</NextContinuationToken>"),
          list_of(item("v/a"), last_page).substr(0, 150)}) {
        CAPTURE(bad);
        const auto page = parse_list(as_bytes(bad), "v/");
        REQUIRE_FALSE(page);
        CHECK(page.error().id == "s3.protocol");
    }
}

TEST_CASE("vault/s3: what a refusal says is cleaned") {
    const auto refusal =
        parse_refusal(as_bytes("<Error><Code>Access\nDenied</Code><Message>no \x1b[31mway</Message>"
                               "<Region>eu-central-1</Region></Error>"));
    CHECK(refusal.code == "AccessDenied");
    CHECK(refusal.message == "no  [31mway");
    CHECK(refusal.region == "eu-central-1");
    CHECK(parse_refusal(as_bytes("")).code.empty());
    CHECK(parse_refusal(as_bytes("<html><Code>x</Code></html>")).code.empty());
    CHECK(clean_text(std::string(1000, 'x')).size() == 200);
}

TEST_CASE("vault/s3: ranges, numbers and times") {
    const auto range = parse_content_range("bytes 3-9/5000");
    REQUIRE(range);
    CHECK(range->first == 3);
    CHECK(range->last == 9);
    CHECK(range->total == 5000);
    for (const char* bad : {"", "bytes */5000", "bytes 9-3/5000", "bytes 3-5000/5000", "3-9/5000",
                            "bytes 3-9/*", "bytes -1-9/10", "bytes 3/9-4"}) {
        CHECK_FALSE(parse_content_range(bad));
    }
    CHECK(parse_number("18446744073709551615") == ~0ull);
    for (const char* bad : {"", " 1", "1 ", "-1", "18446744073709551616", "0x1"}) {
        CHECK_FALSE(parse_number(bad));
    }
    CHECK(parse_time("2033-05-18T03:33:20Z") == env::Nanoseconds{2'000'000'000s});
    CHECK(parse_time("2033-05-18T03:33:20.123+00:00") == env::Nanoseconds{2'000'000'000s});
    CHECK_FALSE(parse_time("2033-05-18T03:33:20+02:00"));
    CHECK_FALSE(parse_time("tomorrow"));
    CHECK(parse_http_date("Wed, 18 May 2033 03:33:20 GMT") == env::Nanoseconds{2'000'000'000s});
    CHECK_FALSE(parse_http_date("Wed, 18 May 2033 03:33:20 CEST"));
    CHECK(encoded("v/packs a+~") == "v%2Fpacks%20a%2B~");
}
