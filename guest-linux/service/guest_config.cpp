#include "service/guest_config.hpp"

#include <tinyxml2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "os/fd.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::Nanoseconds;
using tinyxml2::XMLElement;

std::string joined(const std::vector<std::string_view>& words) {
    std::string text;
    for (const std::string_view word : words) {
        text += text.empty() ? "" : ", ";
        text += word;
    }
    return text.empty() ? "nothing" : text;
}

class Reader {
public:
    explicit Reader(const std::string& file) : file_(file) {}

    Result<GuestConfig> read(std::string_view xml) {
        tinyxml2::XMLDocument document;
        if (document.Parse(xml.data(), xml.size()) != tinyxml2::XML_SUCCESS) {
            if (document.ErrorID() == tinyxml2::XML_ERROR_EMPTY_DOCUMENT) return GuestConfig{};
            return wrong(document.ErrorLineNum(),
                         std::string("no valid XML: ") + document.ErrorStr());
        }
        const XMLElement* root = document.RootElement();
        if (root == nullptr) return GuestConfig{};
        if (std::string_view(root->Name()) != "guest") {
            return wrong(root->GetLineNum(),
                         "unknown element <" + std::string(root->Name()) + ">; accepted: guest");
        }
        SP_TRY(only_attributes(*root, {}));
        SP_TRY(read_guest(*root));
        return std::move(config_);
    }

private:
    using Handler = Status (Reader::*)(const XMLElement&);
    struct Child {
        std::string_view name;
        Handler handler;
    };

    [[nodiscard]] tl::unexpected<Error> wrong(int line, const std::string& text) const {
        return fail(Errc::invalid, "config.guest", file_ + ":" + std::to_string(line) + ": " + text,
                    "see stillpoint-guest.xml(5)");
    }

    Status only_attributes(const XMLElement& element,
                           const std::vector<std::string_view>& accepted) {
        for (auto* at = element.FirstAttribute(); at != nullptr; at = at->Next()) {
            if (std::ranges::find(accepted, at->Name()) != accepted.end()) continue;
            return wrong(at->GetLineNum(), "unknown attribute " + std::string(at->Name()) +
                                               " of <" + element.Name() +
                                               ">; accepted: " + joined(accepted));
        }
        return {};
    }

    /// Calls the handler of each child element; each may stand once unless it is `repeated`.
    Status children(const XMLElement& element, const std::vector<Child>& accepted,
                    std::string_view repeated = {}) {
        std::vector<std::string_view> seen;
        for (auto* node = element.FirstChild(); node != nullptr; node = node->NextSibling()) {
            if (node->ToComment() != nullptr) continue;
            const XMLElement* child = node->ToElement();
            if (child == nullptr) return wrong(node->GetLineNum(), text_in(element));
            const std::string_view name = child->Name();
            const auto found = std::ranges::find(accepted, name, &Child::name);
            if (found == accepted.end()) {
                std::vector<std::string_view> names;
                for (const Child& entry : accepted) names.push_back(entry.name);
                return wrong(child->GetLineNum(), "unknown element <" + std::string(name) +
                                                      "> in <" + element.Name() +
                                                      ">; accepted: " + joined(names));
            }
            if (name != repeated && std::ranges::find(seen, name) != seen.end()) {
                return wrong(child->GetLineNum(), "<" + std::string(name) + "> stands twice");
            }
            seen.push_back(name);
            SP_TRY((this->*found->handler)(*child));
        }
        return {};
    }

    static std::string text_in(const XMLElement& element) {
        return "unexpected text in <" + std::string(element.Name()) + ">";
    }

    Result<std::string> path(const XMLElement& element, const char* attribute) const {
        const char* value = element.Attribute(attribute);
        if (value == nullptr || value[0] != '/') {
            return wrong(element.GetLineNum(), std::string(attribute) + " of <" + element.Name() +
                                                   "> must be an absolute path");
        }
        return std::string(value);
    }

    Status duration(const XMLElement& element, const char* attribute, Nanoseconds& value,
                    Nanoseconds least, Nanoseconds most) const {
        const char* text = element.Attribute(attribute);
        if (text == nullptr) return {};
        const auto parsed = parse_duration(text);
        if (!parsed || *parsed < least || *parsed > most) {
            const auto seconds = [](Nanoseconds t) {
                return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(t).count()) +
                       "s";
            };
            return wrong(element.GetLineNum(), std::string(attribute) + "=\"" + text +
                                                   "\" is not accepted: a duration from " +
                                                   seconds(least) + " to " + seconds(most) +
                                                   ", as 500ms, 5s or 2min");
        }
        value = *parsed;
        return {};
    }

    Status read_guest(const XMLElement& element) {
        return children(element,
                        {{"freeze", &Reader::read_freeze}, {"hooks", &Reader::read_hooks}});
    }

    Status read_freeze(const XMLElement& element) {
        SP_TRY(only_attributes(element, {"budget", "exclude"}));
        SP_TRY(duration(element, "budget", config_.freeze_budget, freeze_budget_min,
                        freeze_budget_max));
        if (element.Attribute("exclude") != nullptr) {
            SP_ASSIGN(std::string excluded, path(element, "exclude"));
            config_.rules.exclude.push_back(std::move(excluded));
        }
        return children(element, {{"exclude", &Reader::read_exclude}}, "exclude");
    }

    Status read_exclude(const XMLElement& element) {
        SP_TRY(only_attributes(element, {"path"}));
        SP_ASSIGN(std::string excluded, path(element, "path"));
        config_.rules.exclude.push_back(std::move(excluded));
        return children(element, {});
    }

    Status read_hooks(const XMLElement& element) {
        SP_TRY(only_attributes(element, {}));
        SP_TRY(children(element, {{"pre", &Reader::read_pre}, {"post", &Reader::read_post}}));
        if (config_.post && !config_.pre) {
            return wrong(element.GetLineNum(), "<post> runs only after a <pre>, and there is none");
        }
        return {};
    }

    Status read_pre(const XMLElement& element) { return read_hook(element, config_.pre); }
    Status read_post(const XMLElement& element) { return read_hook(element, config_.post); }

    Status read_hook(const XMLElement& element, std::optional<HookCommand>& hook) {
        SP_TRY(only_attributes(element, {"command", "timeout"}));
        SP_ASSIGN(std::string command, path(element, "command"));
        hook = HookCommand{std::move(command), {}, hook_timeout_default};
        SP_TRY(
            duration(element, "timeout", hook->timeout, std::chrono::seconds{1}, hook_timeout_max));
        arguments_ = &hook->arguments;
        return children(element, {{"argument", &Reader::read_argument}}, "argument");
    }

    Status read_argument(const XMLElement& element) {
        SP_TRY(only_attributes(element, {}));
        const char* text = element.GetText();
        const bool simple = element.NoChildren() || element.FirstChild() == element.LastChild();
        if (!simple || (text == nullptr && !element.NoChildren())) {
            return wrong(element.GetLineNum(), "<argument> holds text alone");
        }
        arguments_->emplace_back(text == nullptr ? "" : text);
        return {};
    }

    const std::string& file_;
    GuestConfig config_;
    std::vector<std::string>* arguments_ = nullptr;  // of the hook being read
};

}  // namespace

Result<GuestConfig> parse_guest_config(std::string_view xml, const std::string& file) {
    return Reader{file}.read(xml);
}

Result<GuestConfig> load_guest_config(const std::string& file) {
    const auto xml = os::read_file(file, guest_config_bytes_max);
    if (!xml && xml.error().code == Errc::not_found) return GuestConfig{};
    if (!xml) return fail(in_step("configuration", xml.error()));
    return parse_guest_config(*xml, file);
}

std::optional<Nanoseconds> parse_duration(std::string_view text) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || number < 0) return std::nullopt;
    const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
    constexpr std::int64_t hour_ms = 3'600'000;
    constexpr std::array<std::pair<std::string_view, std::int64_t>, 4> units{
        {{"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", hour_ms}}};
    const auto found =
        std::ranges::find(units, unit, [](const auto& entry) { return entry.first; });
    const std::int64_t unit_ms = found == units.end() ? 0 : found->second;
    if (unit_ms == 0 || number > hour_ms / unit_ms) return std::nullopt;
    return std::chrono::milliseconds{number * unit_ms};
}

}  // namespace stillpoint::linux_guest
