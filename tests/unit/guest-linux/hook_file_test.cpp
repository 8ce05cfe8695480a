#include "hooks/hook_file.hpp"

#include <doctest/doctest.h>

#include "hooks/hook_folder.hpp"
#include "temp_folder.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace std::chrono_literals;
using stillpoint::test::TempFolder;

namespace {

Result<Hook> parse(std::string_view xml) {
    Hook hook;
    hook.name = "10-db";
    hook.folder = "/etc/hooks.d/10-db";
    return parse_hook_file(xml, "h.xml", std::move(hook));
}

bool refused(const std::string& xml, std::string_view part) {
    const auto hook = parse(xml);
    CAPTURE(xml);
    REQUIRE(!hook);
    CAPTURE(hook.error().text);
    CHECK(hook.error().id == "config.hook");
    return hook.error().text.find(part) != std::string::npos;
}

std::string repeated(const std::string& text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
}

}  // namespace

TEST_CASE("guest-linux/hook-file: every key is read") {
    const Hook hook = parse(R"(<hook on-failure="continue" freeze-needed="no">
  <pre command="pre" timeout="10s" total-timeout="90s" tries="3" backoff="200ms" user="postgres">
    <argument>x</argument><argument/></pre>
  <post command="/usr/sbin/after" tries="2"/>
  <abort command="undo"/>
  <environment name="PGPORT" value="5432"/><environment name="A_1" value=""/>
</hook>)")
                          .value();
    CHECK(hook.on_failure == quiesce::OnFailure::carry_on);
    CHECK(!hook.freeze_needed);
    CHECK(hook.pre.command == "/etc/hooks.d/10-db/pre");
    CHECK(hook.pre.timeout == 10s);
    CHECK(hook.pre.total() == 90s);
    CHECK(hook.pre.tries == 3);
    CHECK(hook.pre.backoff == 200ms);
    CHECK(hook.pre.user == "postgres");
    CHECK(hook.pre.arguments == std::vector<std::string>{"x", ""});
    CHECK(hook.post->command == "/usr/sbin/after");
    CHECK(hook.post->total() == 60s);
    CHECK(hook.abort->command == "/etc/hooks.d/10-db/undo");
    CHECK(hook.environment ==
          std::vector<std::pair<std::string, std::string>>{{"PGPORT", "5432"}, {"A_1", ""}});
}

TEST_CASE("guest-linux/hook-file: the defaults are those of the manual") {
    const Hook hook = parse("<hook><pre command='p'/></hook>").value();
    CHECK(hook.on_failure == quiesce::OnFailure::fallback);
    CHECK(hook.freeze_needed);
    CHECK(hook.pre.timeout == 30s);
    CHECK(hook.pre.total() == 30s);
    CHECK(hook.pre.user == "root");
    CHECK(!hook.post);
    CHECK(!hook.abort);
    CHECK(parse("<hook><pre command='p' timeout='10min' tries='9'/></hook>")->pre.total() == 10min);
}

TEST_CASE("guest-linux/hook-file: errors name file, line and what is accepted") {
    CHECK(refused("", "h.xml:1: a <hook> needs a <pre>"));
    CHECK(refused("<hook/>", "needs a <pre>"));
    CHECK(refused("<hooks/>", "accepted: hook"));
    CHECK(refused("<hook>\n<run/></hook>",
                  "h.xml:2: unknown element <run> in <hook>; accepted: "
                  "pre, post, abort, environment"));
    CHECK(refused("<hook><post command='p'/></hook>", "only after a <pre>"));
    CHECK(refused("<hook on-failure='x'><pre command='p'/></hook>", "fail, fallback or continue"));
    CHECK(refused("<hook freeze-needed='1'><pre command='p'/></hook>", "yes or no"));
    for (const char* command : {"", "a/b", "./p", "../p", ".", ".."}) {
        CHECK(refused(std::string("<hook><pre command='") + command + "'/></hook>",
                      "a file of the hook's folder or an absolute path"));
    }
    CHECK(refused("<hook><pre/></hook>", "absolute path"));
    CHECK(refused("<hook><pre command='p' tries='11'/></hook>", "a number from 1 to 10"));
    CHECK(refused("<hook><pre command='p' tries='0'/></hook>", "a number from 1 to 10"));
    CHECK(refused("<hook><pre command='p' timeout='11min'/></hook>", "from 1s to 600s"));
    CHECK(refused("<hook><pre command='p' backoff='-1s'/></hook>", "from 0ms to 60s"));
    CHECK(refused("<hook><pre command='p' user='a b'/></hook>", "no user's name"));
    CHECK(refused("<hook><pre command='p'/><environment name='1A' value=''/></hook>", "name="));
    CHECK(refused("<hook><pre command='p'/><environment name='STILLPOINT_JOB' value=''/></hook>",
                  "STILLPOINT_"));
    CHECK(refused("<hook><pre command='p'/><environment name='A'/></hook>", "needs a value"));
}

TEST_CASE("guest-linux/hook-file: nothing that is written is passed over") {
    const std::string hook = "<?xml version='1.0'?><!-- a --><hook><pre command='p'/></hook>";
    CHECK(parse(hook + "\n<!-- b -->\n"));
    CHECK(refused(hook + "\n<hook><pre command='q'/></hook>", "h.xml:2: there is more than one"));
    CHECK(refused(hook + "<!DOCTYPE x>", "there is more than one element"));
    CHECK(refused(hook + std::string(1, '\0') + "<!-- c -->", "a byte 0"));
    CHECK(refused("<hook><pre command='p' command='q'/></hook>", "no valid XML"));
    CHECK(refused("<hook><pre command='p'/></hook>x", "h.xml:1: "));
}

TEST_CASE("guest-linux/hook-file: numbers and sizes have limits") {
    const auto with_arguments = [](int count) {
        return "<hook><pre command='p'>" + repeated("<argument>a</argument>", count) +
               "</pre></hook>";
    };
    CHECK(parse(with_arguments(hook_arguments_max)));
    CHECK(refused(with_arguments(hook_arguments_max + 1), "at most 64 arguments"));
    CHECK(refused("<hook><pre command='p'><argument>" + repeated("x", hook_text_bytes_max + 1) +
                      "</argument></pre></hook>",
                  "of at most 4096 bytes"));
    CHECK(refused("<hook><pre command='p'/>" +
                      repeated("<environment name='A' value=''/>", hook_environment_max + 1) +
                      "</hook>",
                  "at most 64"));
}

TEST_CASE("guest-linux/hook-folder: hooks are found in order, others are ignored and named") {
    const TempFolder folder;
    const char* xml = "<hook><pre command='pre'/></hook>";
    folder.file("20-b/hook.xml", xml);
    folder.file("10-a-1/hook.xml", xml);
    folder.file("10-broken/hook.xml", "<hook>");
    folder.folder("30-empty");
    folder.file("README", "not a hook");
    folder.file("1-a/hook.xml", xml);
    folder.file("40-Big/hook.xml", xml);
    const HookFolder found = read_hook_folder(folder.path(), {::geteuid(), folder.path()});
    REQUIRE(found.hooks.size() == 4);
    CHECK(found.hooks[0].name == "10-a-1");
    CHECK(!found.hooks[0].problem);
    CHECK(found.hooks[0].pre.command == (folder.path() / "10-a-1/pre").string());
    CHECK(found.hooks[1].name == "10-broken");
    CHECK(found.hooks[1].problem);
    CHECK(found.hooks[2].name == "20-b");
    CHECK(found.hooks[3].problem);
    CHECK(found.ignored.size() == 3);
    CHECK(read_hook_folder("/nonexistent/hooks.d", TrustRules::of_process()).hooks.empty());
}

TEST_CASE("guest-linux/hook-folder: without hooks it does not matter who may write above") {
    const TempFolder folder;
    const std::string open = (folder.path() / "open").string();
    std::filesystem::create_directories(open);
    std::filesystem::permissions(open, std::filesystem::perms::all);
    const TrustRules trust{::geteuid(), folder.path()};
    CHECK(read_hook_folder(open + "/hooks.d", trust).hooks.empty());
    std::filesystem::create_directories(open + "/hooks.d");
    const HookFolder found = read_hook_folder(open + "/hooks.d", trust);
    REQUIRE(found.hooks.size() == 1);
    CHECK(found.hooks[0].problem->id == "hook.untrusted");
}

TEST_CASE("guest-linux/hook-folder: more than the limit is refused as a whole") {
    const TempFolder folder;
    for (std::size_t i = 0; i <= hooks_max; ++i) {
        folder.file("10-h" + std::to_string(i) + "/hook.xml", "<hook><pre command='p'/></hook>");
    }
    const HookFolder found = read_hook_folder(folder.path(), {::geteuid(), folder.path()});
    REQUIRE(found.hooks.size() == 1);
    CHECK(found.hooks[0].problem->text.find("more than 64") != std::string::npos);
}
