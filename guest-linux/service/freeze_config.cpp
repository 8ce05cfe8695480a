#include "service/freeze_config.hpp"

#include <array>

namespace stillpoint::linux_guest {
namespace {

using tinyxml2::XMLElement;

constexpr std::array kinds{Pattern::By::path, Pattern::By::glob, Pattern::By::uuid,
                           Pattern::By::label, Pattern::By::type};

class Reader {
public:
    Reader(const StrictXml& xml, GuestConfig& config) : xml_(xml), config_(config) {}

    Status read(const XMLElement& element) {
        SP_TRY(xml_.only_attributes(element, {"budget", "mount-budget", "mode", "exclude"}));
        SP_TRY(xml_.duration(element, "budget", config_.freeze_budget,
                             {freeze_budget_min, freeze_budget_max}));
        SP_TRY(xml_.duration(element, "mount-budget", config_.rules.mount_budget,
                             {mount_budget_min, freeze_budget_max}));
        SP_TRY(read_mode(element));
        if (element.Attribute("exclude") != nullptr) {
            SP_ASSIGN(std::string excluded, xml_.path(element, "exclude"));
            config_.rules.exclude.push_back({Pattern::By::path, std::move(excluded)});
        }
        const auto reads = [this](std::string_view name, auto handler) {
            return StrictXml::Child{
                name, [this, handler](const XMLElement& found) { return (this->*handler)(found); },
                true};
        };
        return xml_.children(element, {reads("include", &Reader::read_include),
                                       reads("exclude", &Reader::read_exclude),
                                       reads("mount", &Reader::read_mount)});
    }

private:
    Status read_mode(const XMLElement& element) {
        const char* text = element.Attribute("mode");
        if (text == nullptr) return {};
        const std::string mode = text;
        if (mode != "strict" && mode != "best-effort") {
            return xml_.wrong(element.GetLineNum(),
                              "mode=\"" + mode + "\" is not accepted: strict or best-effort");
        }
        config_.rules.mode = mode == "strict" ? FreezeMode::strict : FreezeMode::best_effort;
        return {};
    }

    Status read_include(const XMLElement& element) {
        SP_ASSIGN(Pattern which, pattern(element, {}));
        config_.rules.include.push_back(std::move(which));
        return xml_.children(element, {});
    }

    Status read_exclude(const XMLElement& element) {
        SP_ASSIGN(Pattern which, pattern(element, {}));
        config_.rules.exclude.push_back(std::move(which));
        return xml_.children(element, {});
    }

    Status read_mount(const XMLElement& element) {
        SP_ASSIGN(Pattern which, pattern(element, "budget"));
        if (element.Attribute("budget") == nullptr) {
            return xml_.wrong(element.GetLineNum(), "<mount> needs a budget");
        }
        MountBudget entry{std::move(which), {}};
        SP_TRY(
            xml_.duration(element, "budget", entry.budget, {mount_budget_min, freeze_budget_max}));
        config_.rules.budgets.push_back(std::move(entry));
        return xml_.children(element, {});
    }

    /// Exactly one of path, glob, uuid, label and type.
    /// @param also another attribute that the element has
    Result<Pattern> pattern(const XMLElement& element, std::string_view also) {
        std::vector<std::string_view> accepted;
        std::string names;
        for (const Pattern::By by : kinds) {
            accepted.push_back(name_of(by));
            names += (names.empty() ? "" : ", ") + std::string(name_of(by));
        }
        if (!also.empty()) accepted.push_back(also);
        SP_TRY(xml_.only_attributes(element, accepted));
        std::vector<Pattern> found;
        for (const Pattern::By by : kinds) {
            const char* value = element.Attribute(std::string(name_of(by)).c_str());
            if (value != nullptr) found.push_back({by, value});
        }
        if (found.size() != 1 || found.front().text.empty()) {
            return xml_.wrong(element.GetLineNum(), "<" + std::string(element.Name()) +
                                                        "> needs exactly one of " + names);
        }
        const Pattern::By by = found.front().by;
        if (by == Pattern::By::path || by == Pattern::By::glob) {
            SP_TRY(xml_.path(element, std::string(name_of(by)).c_str()));
        }
        return std::move(found.front());
    }

    const StrictXml& xml_;
    GuestConfig& config_;
};

}  // namespace

Status read_freeze_config(const StrictXml& xml, const XMLElement& freeze, GuestConfig& config) {
    return Reader{xml, config}.read(freeze);
}

}  // namespace stillpoint::linux_guest
