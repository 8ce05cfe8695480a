#include "hooks/azure_import.hpp"

#include <algorithm>
#include <array>

#include "hooks/hook.hpp"
#include "serialization/value.hpp"

namespace stillpoint::linux_guest {

using namespace hooks;

namespace {

using serialization::Value;

constexpr std::int64_t timeout_default_s = 10;  // of the extension's code
constexpr std::int64_t timeout_max_s =
    std::chrono::duration_cast<std::chrono::seconds>(hook_timeout_max).count();

constexpr std::array known_fields{"pluginName",           "appName",
                                  "preScriptLocation",    "postScriptLocation",
                                  "preScriptParams",      "postScriptParams",
                                  "preScriptNoOfRetries", "postScriptNoOfRetries",
                                  "timeoutInSeconds",     "continueBackupOnFailure",
                                  "fsFreezeEnabled",      "ScriptsExecutionPollTimeSeconds"};

tl::unexpected<Error> wrong(const std::string& field, const std::string& wanted) {
    return fail(Errc::invalid, "import.azure", field + " must be " + wanted,
                "correct the field and run the command again");
}

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '&') {
            out += "&amp;";
        } else if (c == '<') {
            out += "&lt;";
        } else if (c == '>') {
            out += "&gt;";
        } else if (c == '"') {
            out += "&quot;";
        } else if (c == '\n' || c == '\r' || c == '\t') {
            out += "&#" + std::to_string(static_cast<int>(c)) + ";";
        } else {
            out += c;
        }
    }
    // Blanks alone between two tags would be taken for layout.
    if (out.find_first_not_of(' ') == std::string::npos && !out.empty()) {
        out.replace(0, 1, "&#32;");
    }
    return out;
}

/// Text of the file on a terminal.
std::string printable(std::string text) {
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return text;
}

/// What XML cannot hold at all.
bool representable(const std::string& text) {
    return std::ranges::none_of(text, [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x20 && c != '\n' && c != '\r' && c != '\t';
    });
}

class Importer {
public:
    explicit Importer(const Value& in) : in_(in) {}

    Result<AzureImport> run() {
        if (in_.map() == nullptr) return wrong("the file", "a JSON object");
        SP_ASSIGN(const bool go_on, flag("continueBackupOnFailure"));
        SP_ASSIGN(const bool freeze, flag("fsFreezeEnabled"));
        SP_ASSIGN(timeout_s_, timeout());
        SP_ASSIGN(const std::string pre, command("pre", "preScript"));
        SP_ASSIGN(const std::string post, command("post", "postScript"));
        if (go_on && !freeze) {
            note(
                "fsFreezeEnabled=false: a failed script fails the backup whatever "
                "continueBackupOnFailure says, so on-failure is \"fail\"");
        }
        out_.xml = std::string("<guest>\n  <hooks on-failure=\"") +
                   (go_on && freeze ? "fallback" : "fail") + "\" freeze-needed=\"" +
                   (freeze ? "yes" : "no") + "\">\n" + pre + post + "  </hooks>\n</guest>\n";
        note_names();
        note(
            "scripts are executed directly, not by sh: each needs a #! line and permission to be "
            "executed; it and every folder above it must be root's and writable by nobody else, "
            "and no part of the path a symbolic link");
        return std::move(out_);
    }

private:
    void note(std::string text) { out_.notes.push_back(std::move(text)); }

    Result<bool> flag(const char* field) const {
        const Value* value = in_.find(field);
        if (value == nullptr) return true;
        if (value->boolean() == nullptr) return wrong(field, "true or false");
        return *value->boolean();
    }

    [[nodiscard]] Result<std::int64_t> number(const std::string& field,
                                              std::int64_t fallback) const {
        const Value* value = in_.find(field);
        if (value == nullptr) return fallback;
        if (value->integer() == nullptr || *value->integer() < 0) {
            return wrong(field, "a whole number without quotation marks");
        }
        return *value->integer();
    }

    Result<std::int64_t> timeout() {
        SP_ASSIGN(const std::int64_t seconds, number("timeoutInSeconds", timeout_default_s));
        if (seconds > timeout_max_s) {
            note("timeoutInSeconds=" + std::to_string(seconds) + " is cut to " +
                 std::to_string(timeout_max_s) + ": no hook may hold an application longer");
        }
        return std::clamp<std::int64_t>(seconds, 1, timeout_max_s);
    }

    Result<std::string> command(const std::string& element, const std::string& prefix) {
        const std::string field = prefix + "Location";
        const Value* location = in_.find(field);
        const std::string* path = location == nullptr ? nullptr : location->text();
        if (path == nullptr || !path->starts_with('/') || !representable(*path)) {
            return wrong(field, "an absolute path");
        }
        SP_ASSIGN(const std::int64_t tries, tries_of(prefix));
        SP_ASSIGN(const std::string arguments, arguments_of(prefix));
        const std::string seconds = std::to_string(timeout_s_) + "s";
        std::string xml = "    <" + element + " command=\"" + escaped(*path) + "\" timeout=\"" +
                          seconds + "\" total-timeout=\"" + seconds + "\" tries=\"" +
                          std::to_string(tries) + "\"";
        xml += arguments.empty() ? "/>\n" : ">" + arguments + "</" + element + ">\n";
        return xml;
    }

    Result<std::int64_t> tries_of(const std::string& prefix) {
        const std::string field = prefix + "NoOfRetries";
        SP_ASSIGN(const std::int64_t retries, number(field, 0));
        if (retries == 0) return 1;
        const std::int64_t tries = std::min<std::int64_t>(retries, hook_tries_max - 1) + 1;
        note(field + "=" + std::to_string(retries) + " becomes tries=\"" + std::to_string(tries) +
             "\": a script that fails is really executed again, within the same timeout");
        return tries;
    }

    [[nodiscard]] Result<std::string> arguments_of(const std::string& prefix) const {
        const std::string field = prefix + "Params";
        const Value* list = in_.find(field);
        if (list == nullptr) return std::string{};
        if (list->array() == nullptr) return wrong(field, "a list of texts");
        if (list->array()->size() > hook_arguments_max) {
            return wrong(field, "at most " + std::to_string(hook_arguments_max) + " texts");
        }
        std::string xml;
        for (const Value& item : *list->array()) {
            const std::string* text = item.text();
            if (text == nullptr || !representable(*text) || text->size() > hook_text_bytes_max) {
                return wrong(field, "a list of texts without control characters, each of at most " +
                                        std::to_string(hook_text_bytes_max) + " bytes");
            }
            xml += "<argument>" + escaped(*text) + "</argument>";
        }
        return xml;
    }

    void note_names() {
        if (in_.find("ScriptsExecutionPollTimeSeconds") != nullptr) {
            note(
                "ScriptsExecutionPollTimeSeconds is not carried over: nothing is polled, the end "
                "of a script is seen at once");
        }
        for (const char* field : {"pluginName", "appName"}) {
            if (in_.find(field) == nullptr) continue;
            note(std::string(field) +
                 " is not carried over: the hook is called guest.xml; as "
                 "/etc/stillpoint/hooks.d/NN-name/hook.xml it has a name of its own");
        }
        for (const auto& [name, value] : *in_.map()) {
            if (std::ranges::find(known_fields, name) != known_fields.end()) continue;
            note(printable(name) + " is not carried over: the extension has no such field");
        }
    }

    const Value& in_;
    std::int64_t timeout_s_ = timeout_default_s;
    AzureImport out_;
};

}  // namespace

Result<AzureImport> import_azure(std::string_view json) {
    const auto value = serialization::parse_json(json);
    if (!value) {
        return fail(Errc::invalid, "import.azure", "no JSON: " + value.error().text,
                    "name the file VMSnapshotScriptPluginConfig.json");
    }
    return Importer{*value}.run();
}

}  // namespace stillpoint::linux_guest
