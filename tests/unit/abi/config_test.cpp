#include "abi/config.hpp"

#include <doctest/doctest.h>

using namespace stillpoint;
using namespace stillpoint::abi;
using namespace std::chrono_literals;

TEST_CASE("abi/config: absent and empty documents mean the defaults") {
    for (const char* text : {"", "  \n", "<host/>", "<?xml version=\"1.0\"?><host></host>"}) {
        const auto config = parse_host_config(text, "host.xml");
        REQUIRE(config);
        CHECK(config->jobs_folder() == "/var/lib/stillpoint/jobs");
        CHECK(config->freeze_budget == 5s);
    }
}

TEST_CASE("abi/config: every key is read") {
    const auto config = parse_host_config(
        "<host><state dir=\"/s\"/><run dir=\"/r\"/><scratch dir=\"/x\"/><keeper path=\"/k\"/>"
        "<guest freeze-budget=\"2s\" hooks-budget=\"10min\" greet-budget=\"500ms\"/></host>",
        "host.xml");
    REQUIRE(config);
    CHECK(config->state_folder == "/s");
    CHECK(config->run_folder == "/r");
    CHECK(config->jobs_folder() == "/x");
    CHECK(config->keeper == "/k");
    CHECK(config->freeze_budget == 2s);
    CHECK(config->hooks_budget == 10min);
    CHECK(config->greet_budget == 500ms);
}

TEST_CASE("abi/config: the audit and the periodic compare") {
    const auto standard = parse_host_config("", "h");
    REQUIRE(standard);
    CHECK(standard->audit.chunks == 64);
    CHECK(standard->compare.age == std::chrono::days{30});
    CHECK(standard->compare.increments == 0);
    const auto by_age =
        parse_host_config("<host><audit chunks=\"0\" compare-every=\"7d\"/></host>", "h");
    REQUIRE(by_age);
    CHECK(by_age->audit.chunks == 0);
    CHECK(by_age->compare.age == std::chrono::days{7});
    const auto by_count = parse_host_config("<host><audit compare-every=\"100\"/></host>", "h");
    REQUIRE(by_count);
    CHECK(by_count->compare.age == std::chrono::days{0});
    CHECK(by_count->compare.increments == 100);
    const auto never = parse_host_config("<host><audit compare-every=\"never\"/></host>", "h");
    REQUIRE(never);
    CHECK(never->compare.age == std::chrono::days{0});
    CHECK(never->compare.increments == 0);
    for (const char* text :
         {"chunks=\"-1\"", "chunks=\"64d\"", "chunks=\"65537\"", "chunks=\"\"",
          "compare-every=\"0\"", "compare-every=\"0d\"", "compare-every=\"3651d\"",
          "compare-every=\"10001\"", "compare-every=\"30 d\"", "compare-every=\"30h\"",
          "compare-every=\"d\"", "compare-every=\"99999999999999999999\""}) {
        CAPTURE(text);
        CHECK_FALSE(parse_host_config(std::string("<host><audit ") + text + "/></host>", "h"));
    }
}

TEST_CASE("abi/config: limits, for all VMs and for one") {
    const auto config = parse_host_config(
        "<host><scratch budget=\"20GiB\"/><vault stall=\"60s\"/>"
        "<limits bandwidth=\"100MiB/s\" read-ahead=\"4MiB\" write-latency=\"200ms\"/>"
        "<vm name=\"web1\"><limits bandwidth=\"none\" write-latency=\"none\"/></vm>"
        "<vm name=\"01234567-89ab-cdef-0123-456789abcdef\"><limits read-ahead=\"1MiB\"/></vm>"
        "</host>",
        "host.xml");
    REQUIRE(config);
    CHECK(config->scratch_budget == ByteCount{20ull << 30});
    CHECK(config->store_stall == 60s);
    CHECK(config->limits_of("db", "").bytes_per_second_max == 100u << 20);
    CHECK(config->limits_of("db", "").read_ahead == ByteCount{4u << 20});
    CHECK(config->limits_of("db", "").write_latency_max == 200ms);
    CHECK(config->limits_of("web1", "").write_latency_max == 0ms);
    CHECK(config->limits_of("web1", "").bytes_per_second_max == 0u);
    CHECK(config->limits_of("web1", "").read_ahead == ByteCount{4u << 20});
    const auto by_uuid = config->limits_of("db", "01234567-89ab-cdef-0123-456789abcdef");
    CHECK(by_uuid.read_ahead == ByteCount{1u << 20});
    CHECK(by_uuid.bytes_per_second_max == 100u << 20);
}

TEST_CASE("abi/config: object stores") {
    const auto config = parse_host_config(
        "<host><s3 endpoint=\"https://h\" region=\"r\" addressing=\"virtual\" ca=\"/ca\"/>"
        "<s3 credentials=\"/c\" credentials-command=\"print it\" lock=\"30d\" "
        "lock-mode=\"compliance\"/></host>",
        "host.xml");
    REQUIRE(config);
    CHECK(config->s3.endpoint == "https://h");
    CHECK(config->s3.lock_days == 30);
    CHECK(config->s3.lock_mode == vault::LockMode::compliance);
    CHECK(config->s3.region == "r");
    CHECK(config->s3.addressing == "virtual");
    CHECK(config->s3.ca_file == "/ca");
    CHECK(config->s3.credentials_file == "/c");
    CHECK(config->s3.credentials_command == "print it");
    for (const char* text : {"ca=\"ca\"", "credentials=\"\"", "addressing=\"host\"",
                             "endpoint=\"\"", "secret=\"x\""}) {
        CAPTURE(text);
        CHECK_FALSE(parse_host_config(std::string("<host><s3 ") + text + "/></host>", "h"));
    }
}

TEST_CASE("abi/config: limits that would be none, or too many, are refused") {
    const auto refused = [](const std::string& inside) {
        return !parse_host_config("<host>" + inside + "</host>", "h");
    };
    for (const char* text :
         {"<scratch budget=\"31MiB\"/>", "<scratch budget=\"20\"/>", "<scratch budget=\"20GB\"/>",
          "<scratch budget=\"-1GiB\"/>", "<vault stall=\"4s\"/>", "<vault stall=\"25h\"/>",
          "<limits bandwidth=\"100MiB\"/>", "<limits bandwidth=\"1KiB/s\"/>",
          "<limits read-ahead=\"128KiB\"/>", "<limits read-ahead=\"1GiB\"/>",
          "<limits write-latency=\"9ms\"/>", "<limits write-latency=\"61s\"/>",
          "<limits write-latency=\"1\"/>", "<vm/>", "<vm name=\"\"/>", "<vm name=\"a\" x=\"y\"/>",
          "<vm name=\"a\"><guest freeze-budget=\"5s\"/></vm>",
          "<vm name=\"a\"><limits speed=\"1\"/></vm>",
          "<vm name=\"a\"><limits read-ahead=\"1MiB\"/></vm><vm name=\"a\"/>"}) {
        CAPTURE(text);
        CHECK(refused(text));
    }
}

TEST_CASE("abi/config: mistakes are refused with file, line and what is accepted") {
    const auto unknown = parse_host_config("<host>\n<guest freeze=\"2s\"/></host>", "host.xml");
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().text.starts_with("host.xml:2: <guest freeze> is not known"));
    CHECK(unknown.error().text.find("<guest freeze-budget>") != std::string::npos);
    const auto range = parse_host_config("<host><guest freeze-budget=\"31s\"/></host>", "h");
    REQUIRE_FALSE(range);
    CHECK(range.error().text.find("it takes 1s to 30s") != std::string::npos);
    for (const char* text :
         {"<hosts/>", "<host", "<host><state/></host>", "<host><state dir=\"relative\"/></host>",
          "<host><state dir=\"/a\">text</state></host>", "<host><guest greet-budget=\"5\"/></host>",
          "<host x=\"1\"/>"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_host_config(text, "h"));
    }
}
