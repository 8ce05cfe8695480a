#include "hooks/azure_import.hpp"

#include <doctest/doctest.h>

#include "service/guest_config.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace std::chrono_literals;

namespace {

Hook imported(std::string_view json) {
    const auto result = import_azure(json);
    REQUIRE(result);
    CAPTURE(result->xml);
    auto config = parse_guest_config(result->xml, "g.xml");
    REQUIRE(config);
    REQUIRE(config->hook);
    return *config->hook;
}

bool noted(std::string_view json, std::string_view part) {
    const AzureImport result = import_azure(json).value();
    return std::ranges::any_of(result.notes, [&](const std::string& note) {
        return note.find(part) != std::string::npos;
    });
}

}  // namespace

TEST_CASE("guest-linux/import: every field of the sample is carried over or named") {
    constexpr std::string_view sample = R"({
        "pluginName" : "ScriptRunner", "appName" : "db",
        "preScriptLocation" : "/etc/azure/pre.sh", "postScriptLocation" : "/etc/azure/post.sh",
        "preScriptParams" : ["a \"b\" <c>&\n", ""], "postScriptParams" : [],
        "preScriptNoOfRetries" : 2, "postScriptNoOfRetries" : 0,
        "timeoutInSeconds" : 30, "continueBackupOnFailure" : true, "fsFreezeEnabled" : true,
        "ScriptsExecutionPollTimeSeconds" : 3, "unheardOf" : 1 })";
    const Hook hook = imported(sample);
    CHECK(hook.on_failure == quiesce::OnFailure::fallback);
    CHECK(hook.freeze_needed);
    CHECK(hook.pre.command == "/etc/azure/pre.sh");
    CHECK(hook.pre.arguments == std::vector<std::string>{"a \"b\" <c>&\n", ""});
    CHECK(hook.pre.tries == 3);
    CHECK(hook.pre.timeout == 30s);
    CHECK(hook.pre.total() == 30s);
    CHECK(hook.post->command == "/etc/azure/post.sh");
    CHECK(hook.post->tries == 1);
    CHECK(!hook.abort);
    for (const char* part : {"pluginName is", "appName is", "ScriptsExecutionPollTimeSeconds is",
                             "unheardOf is", "preScriptNoOfRetries=2 becomes", "a #! line"}) {
        CHECK(noted(sample, part));
    }
}

TEST_CASE("guest-linux/import: absent fields have the extension's defaults") {
    const Hook hook = imported(R"({"preScriptLocation":"/a","postScriptLocation":"/b"})");
    CHECK(hook.on_failure == quiesce::OnFailure::fallback);
    CHECK(hook.freeze_needed);
    CHECK(hook.pre.timeout == 10s);
    CHECK(hook.pre.arguments.empty());
}

TEST_CASE("guest-linux/import: what a failure means is kept") {
    const auto with = [](const std::string& more) {
        return R"({"preScriptLocation":"/a","postScriptLocation":"/b",)" + more + "}";
    };
    CHECK(imported(with(R"("continueBackupOnFailure":false)")).on_failure ==
          quiesce::OnFailure::fail);
    const std::string no_freeze = with(R"("fsFreezeEnabled":false)");
    CHECK(imported(no_freeze).on_failure == quiesce::OnFailure::fail);
    CHECK(!imported(no_freeze).freeze_needed);
    CHECK(noted(no_freeze, "fsFreezeEnabled=false"));
    CHECK(imported(with(R"("timeoutInSeconds":1800)")).pre.timeout == 10min);
    CHECK(noted(with(R"("timeoutInSeconds":1800)"), "is cut to 600"));
    CHECK(imported(with(R"("preScriptNoOfRetries":99)")).pre.tries == hook_tries_max);
}

TEST_CASE("guest-linux/import: odd arguments arrive as they are, names do not break the notes") {
    const Hook hook = imported(
        R"({"preScriptLocation":"/a","postScriptLocation":"/b",
            "preScriptParams":[" ","  ",""," x "]})");
    CHECK(hook.pre.arguments == std::vector<std::string>{" ", "  ", "", " x "});
    CHECK(noted(R"({"preScriptLocation":"/a","postScriptLocation":"/b","x\n\u001by":1})",
                "x??y is not carried over"));
}

TEST_CASE("guest-linux/import: wrong files are refused with the field's name") {
    const auto refused = [](std::string_view json, std::string_view part) {
        const auto result = import_azure(json);
        REQUIRE(!result);
        CHECK(result.error().id == "import.azure");
        CAPTURE(result.error().text);
        return result.error().text.find(part) != std::string::npos;
    };
    CHECK(refused("", "no JSON"));
    CHECK(refused("[]", "a JSON object"));
    CHECK(refused("{}", "preScriptLocation must be an absolute path"));
    CHECK(refused(R"({"preScriptLocation":"a"})", "preScriptLocation"));
    CHECK(refused(R"({"preScriptLocation":"/a"})", "postScriptLocation"));
    CHECK(refused(R"({"preScriptLocation":"/a","timeoutInSeconds":"30"})", "timeoutInSeconds"));
    CHECK(refused(R"({"preScriptLocation":"/a","preScriptParams":[1]})", "preScriptParams"));
    CHECK(refused(R"({"preScriptLocation":"/a","preScriptParams":["\u0001"]})", "preScriptParams"));
    const auto with_arguments = [](const std::string& list) {
        return R"({"preScriptLocation":"/a","preScriptParams":[)" + list + "]}";
    };
    std::string many = "\"\"";
    for (std::size_t i = 0; i < hook_arguments_max; ++i) many += ",\"\"";
    CHECK(refused(with_arguments(many), "at most 64 texts"));
    CHECK(refused(with_arguments("\"" + std::string(hook_text_bytes_max + 1, 'a') + "\""),
                  "at most 4096 bytes"));
    CHECK(refused(R"({"fsFreezeEnabled":"yes"})", "fsFreezeEnabled"));
}
