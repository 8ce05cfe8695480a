#include "service/guest_config.hpp"

#include <doctest/doctest.h>

namespace stillpoint::test {
namespace {

using namespace windows_guest;
using namespace std::chrono_literals;

bool refused(const std::string& xml, std::string_view part) {
    const auto config = parse_guest_config(xml, "guest.xml");
    CAPTURE(xml);
    REQUIRE(!config);
    CAPTURE(config.error().text);
    CHECK(config.error().id == "config.guest");
    CHECK(config.error().code == Errc::invalid);
    return config.error().text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("windows/config: empty and minimal files give the defaults") {
    for (const char* xml : {"", "<guest/>", "<guest><vss/><hooks/><freeze/></guest>"}) {
        const auto config = parse_guest_config(xml, "guest.xml");
        REQUIRE(config);
        CHECK(config->freeze_budget == hold_limit);
        CHECK(!config->type);
        CHECK(config->writers == WriterChoice{});
        CHECK(config->hooks_folder.empty());
        CHECK(!config->hook);
    }
}

TEST_CASE("windows/config: every key is read") {
    const auto config = parse_guest_config(R"(<?xml version="1.0"?>
<guest><!-- a comment -->
  <freeze budget="2500ms"/>
  <vss type="copy"><include writer="SqlServerWriter"/><exclude writer="System Writer"/>
    <exclude writer="{a65faa63-5ea8-4ebc-9dbd-a0c4db26912a}"/></vss>
  <hooks dir="D:\hooks" on-failure="fail">
    <defaults timeout="10s" retries="2" on-failure="continue"/>
    <pre command="C:\tools\pre.cmd" timeout="2min"><argument>a b</argument></pre>
    <post command="C:\tools\post.exe"/><environment name="A" value="b"/>
  </hooks>
</guest>)",
                                           "guest.xml")
                            .value();
    CHECK(config.freeze_budget == 2500ms);
    CHECK(config.type == serialization::BackupType::copy);
    CHECK(config.writers.included == std::vector<std::string>{"SqlServerWriter"});
    CHECK(config.writers.excluded.size() == 2);
    CHECK(config.hooks_folder == "D:\\hooks");
    CHECK(config.hook_defaults.timeout == 10s);
    CHECK(config.hook_defaults.tries == 3);
    CHECK(config.hook_defaults.on_failure == quiesce::OnFailure::carry_on);
    REQUIRE(config.hook);
    CHECK(config.hook->name == "guest.xml");
    CHECK(config.hook->on_failure == quiesce::OnFailure::fail);
    CHECK(config.hook->pre.command == "C:\\tools\\pre.cmd");
    CHECK(config.hook->pre.timeout == 2min);
    CHECK(config.hook->post->command == "C:\\tools\\post.exe");
}

TEST_CASE("windows/config: what is wrong is named with its line and what is accepted") {
    CHECK(refused("<guest>\n <freeze budget='8s'/></guest>",
                  "guest.xml:2: budget=\"8s\" is not accepted: a duration from 1s to 7500ms"));
    CHECK(refused("<guest><freeze mode='strict'/></guest>", "unknown attribute mode"));
    CHECK(refused("<guest><freeze><exclude path='C:\\'/></freeze></guest>", "unknown element"));
    CHECK(refused("<guest>\n\n<vss type='incremental'/></guest>",
                  "guest.xml:3: type=\"incremental\" is not accepted: full or copy"));
    CHECK(refused("<guest><vss><exclude name='x'/></vss></guest>", "accepted: writer"));
    CHECK(refused("<guest><vss><exclude/></vss></guest>", "needs a writer"));
    CHECK(refused("<guest><vss><exclude writer='{1}'/></vss></guest>", "is no class id"));
    CHECK(refused("<guest><hooks dir='/etc/hooks'/></guest>", "absolute path, as C:\\folder"));
    CHECK(refused("<guest><hooks dir='hooks.d'/></guest>", "absolute path"));
    CHECK(refused("<guest><hooks><pre command='x.exe'/></hooks></guest>", "absolute path"));
    CHECK(refused("<guest><hooks><pre command='C:\\x.vbs'/></hooks></guest>", "must end in"));
    CHECK(refused("<guest><hooks><post command='C:\\x.exe'/></hooks></guest>", "there is none"));
    CHECK(refused("<guest/><guest/>", "more than one element"));
    CHECK(refused("<backup/>", "accepted: guest"));
    std::string many = "<guest><vss>";
    for (int i = 0; i < 65; ++i) many += "<exclude writer='w'/>";
    CHECK(refused(many + "</vss></guest>", "at most 64 writers"));
}

}  // namespace stillpoint::test
