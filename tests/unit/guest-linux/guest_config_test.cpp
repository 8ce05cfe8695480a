#include "service/guest_config.hpp"

#include <doctest/doctest.h>

#include "hooks/strict_xml.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace std::chrono_literals;

namespace {

std::string refusal(std::string_view xml) {
    const auto parsed = parse_guest_config(xml, "g.xml");
    REQUIRE(!parsed);
    CHECK(parsed.error().id == "config.guest");
    CHECK(parsed.error().code == Errc::invalid);
    return parsed.error().text;
}

bool holds(const std::string& text, std::string_view part) {
    CAPTURE(text);
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("guest-linux/config: empty, missing and minimal files give the defaults") {
    for (const std::string_view xml :
         {"", "  \n", "<!-- nothing -->", "<guest/>", "<guest><hooks/></guest>"}) {
        CAPTURE(xml);
        const auto config = parse_guest_config(xml, "g.xml");
        REQUIRE(config);
        CHECK(config->freeze_budget == freeze_budget_default);
        CHECK(config->rules.exclude.empty());
        CHECK(!config->hook);
        CHECK(config->hooks_folder == hooks_folder_default);
    }
    CHECK(load_guest_config("/nonexistent/guest.xml"));
}

TEST_CASE("guest-linux/config: every key is read") {
    const auto config = parse_guest_config(R"(<?xml version="1.0"?>
<guest>
  <!-- a comment -->
  <freeze budget="2500ms" mount-budget="2s" mode="strict" exclude="/mnt/scratch">
    <exclude path="/mnt/a b"/><exclude uuid="0A-0B"/>
    <include glob="/mnt/*"/><include label="data"/>
    <mount type="xfs" budget="900ms"/>
  </freeze>
  <hooks dir="/opt/hooks.d" on-failure="fail" freeze-needed="no">
    <pre command="/usr/local/bin/before" timeout="2min">
      <argument>--name</argument><argument>a &amp; b</argument><argument/>
    </pre>
    <post command="/usr/local/bin/after"/>
  </hooks>
</guest>)",
                                           "g.xml")
                            .value();
    CHECK(config.freeze_budget == 2500ms);
    using By = Pattern::By;
    CHECK(config.rules.exclude == std::vector<Pattern>{{By::path, "/mnt/scratch"},
                                                       {By::path, "/mnt/a b"},
                                                       {By::uuid, "0A-0B"}});
    CHECK(config.rules.include == std::vector<Pattern>{{By::glob, "/mnt/*"}, {By::label, "data"}});
    CHECK(config.rules.mode == FreezeMode::strict);
    CHECK(config.rules.mount_budget == 2s);
    REQUIRE(config.rules.budgets.size() == 1);
    CHECK(config.rules.budgets[0].which == Pattern{By::type, "xfs"});
    CHECK(config.rules.budgets[0].budget == 900ms);
    CHECK(config.rules.need_identity());
    CHECK(config.hooks_folder == "/opt/hooks.d");
    REQUIRE(config.hook);
    CHECK(config.hook->on_failure == quiesce::OnFailure::fail);
    CHECK(!config.hook->freeze_needed);
    CHECK(config.hook->pre.command == "/usr/local/bin/before");
    CHECK(config.hook->pre.timeout == 2min);
    CHECK(config.hook->pre.arguments == std::vector<std::string>{"--name", "a & b", ""});
    REQUIRE(config.hook->post);
    CHECK(config.hook->post->timeout == hook_timeout_default);
    CHECK(config.hook->post->arguments.empty());
    CHECK(!config.hook->abort);
}

TEST_CASE("guest-linux/config: defaults for the folder's hooks") {
    const auto config = parse_guest_config(
        "<guest><hooks dir='/x'><defaults timeout='45s' retries='2' on-failure='fail'/></hooks>"
        "</guest>",
        "g.xml");
    REQUIRE(config);
    CHECK(!config->hook);
    CHECK(config->hook_defaults.timeout == 45s);
    CHECK(config->hook_defaults.tries == 3);
    CHECK(config->hook_defaults.on_failure == quiesce::OnFailure::fail);
    CHECK(holds(refusal("<guest><hooks><defaults retries='10'/></hooks></guest>"),
                "a number from 0 to 9"));
    CHECK(holds(refusal("<guest><hooks><defaults tries='1'/></hooks></guest>"),
                "accepted: timeout, retries, on-failure"));
    Hook hook;
    hook.folder = "/x/10-a";
    const auto parsed =
        parse_hook_file("<hook><pre command='p'/><post command='p' tries='1'/></hook>", "h.xml",
                        hook, config->hook_defaults);
    REQUIRE(parsed);
    CHECK(parsed->pre.timeout == 45s);
    CHECK(parsed->pre.tries == 3);
    CHECK(parsed->post->tries == 1);
    CHECK(parsed->on_failure == quiesce::OnFailure::fail);
}

TEST_CASE("guest-linux/config: errors name file, line and what is accepted") {
    CHECK(holds(refusal("<host/>"), "g.xml:1: unknown element <host>; accepted: guest"));
    CHECK(holds(refusal("<guest>\n <frieze/>\n</guest>"),
                "g.xml:2: unknown element <frieze> in <guest>; accepted: freeze, hooks"));
    CHECK(holds(refusal("<guest>\n\n<freeze budgets=\"5s\"/></guest>"),
                "g.xml:3: unknown attribute budgets of <freeze>; accepted: budget, mount-budget"));
    CHECK(holds(refusal("<guest x='1'/>"), "accepted: nothing"));
    CHECK(holds(refusal("<guest><freeze budget='5'/></guest>"), "a duration from 1s to 30s"));
    CHECK(holds(refusal("<guest><freeze budget='31s'/></guest>"), "31s"));
    CHECK(holds(refusal("<guest><freeze exclude='mnt'/></guest>"), "must be an absolute path"));
    CHECK(holds(refusal("<guest><freeze/><freeze/></guest>"), "stands twice"));
    CHECK(holds(refusal("<guest><freeze mode='lax'/></guest>"), "strict or best-effort"));
    CHECK(holds(refusal("<guest><freeze mount-budget='1ms'/></guest>"), "mount-budget"));
    for (const char* wrong : {"<exclude/>", "<include uuid=''/>", "<exclude path='/a' type='x'/>",
                              "<mount budget='1s'/>"}) {
        CAPTURE(wrong);
        const std::string xml = std::string("<guest><freeze>") + wrong + "</freeze></guest>";
        CHECK(holds(refusal(xml), "exactly one of path, glob, uuid, label, type"));
    }
    CHECK(holds(refusal("<guest><freeze><mount path='/a'/></freeze></guest>"), "needs a budget"));
    CHECK(holds(refusal("<guest><freeze><exclude glob='a*'/></freeze></guest>"), "absolute"));
    CHECK(holds(refusal("<guest>text</guest>"), "unexpected text in <guest>"));
    CHECK(holds(refusal("<guest><hooks><pre/></hooks></guest>"), "command of <pre>"));
    CHECK(holds(refusal("<guest><hooks><pre command='x'/></hooks></guest>"), "absolute"));
    CHECK(
        holds(refusal("<guest><hooks><post command='/x'/></hooks></guest>"), "only after a <pre>"));
    CHECK(holds(refusal("<guest><hooks folder='/x'/></guest>"), "unknown attribute folder"));
    CHECK(holds(
        refusal("<guest><hooks><pre command='/x'><argument><b/></argument></pre></hooks></guest>"),
        "text alone"));
    CHECK(holds(refusal("<guest>\n<freeze></guest>"), "no valid XML"));
    std::string deep;
    for (int i = 0; i < 100'000; ++i) deep += "<guest>";
    CHECK(holds(refusal(deep), "g.xml:"));
}

TEST_CASE("guest-linux/config: durations have a unit and a limit") {
    CHECK(parse_duration("500ms") == 500ms);
    CHECK(parse_duration("5s") == 5s);
    CHECK(parse_duration("2min") == 2min);
    for (const std::string_view bad :
         {"", "5", "s", "-1s", "5 s", "2h", "5sx", "2m", "3601s", "99999999999999999999s"}) {
        CAPTURE(bad);
        CHECK(!parse_duration(bad));
    }
}
