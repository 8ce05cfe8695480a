#include "service/guest_config.hpp"

namespace stillpoint::windows_guest {
namespace {

using hooks::StrictXml;
using tinyxml2::XMLElement;

constexpr std::size_t writers_max = 64;
constexpr std::size_t writer_bytes_max = 256;

class Reader {
public:
    explicit Reader(const std::string& file)
        : xml_(file,
               {"config.guest", "docs/windows.md, \"Configuration\"", hooks::Dialect::windows}) {}

    Result<GuestConfig> read(std::string_view xml) {
        SP_TRY(xml_.document(xml, {"guest", [this](const XMLElement& root) -> Status {
                                       SP_TRY(xml_.only_attributes(root, {}));
                                       return xml_.children(root,
                                                            {reads("freeze", &Reader::read_freeze),
                                                             reads("vss", &Reader::read_vss),
                                                             reads("hooks", &Reader::read_hooks)});
                                   }}));
        return std::move(config_);
    }

private:
    using Handler = Status (Reader::*)(const XMLElement&);
    enum class Times { once, any };

    StrictXml::Child reads(std::string_view name, Handler handler, Times times = Times::once) {
        return {name, [this, handler](const XMLElement& found) { return (this->*handler)(found); },
                times == Times::any};
    }

    Status read_freeze(const XMLElement& element) {
        SP_TRY(xml_.only_attributes(element, {"budget"}));
        SP_TRY(xml_.duration(element, "budget", config_.freeze_budget,
                             {freeze_budget_min, hold_limit}));
        return xml_.children(element, {});
    }

    Status read_vss(const XMLElement& element) {
        SP_TRY(xml_.only_attributes(element, {"type"}));
        if (const char* text = element.Attribute("type"); text != nullptr) {
            config_.type =
                serialization::parse_enum(text, static_cast<serialization::BackupType*>(nullptr));
            if (!config_.type) {
                return xml_.wrong(element.GetLineNum(), std::string("type=\"") + text +
                                                            "\" is not accepted: full or copy");
            }
        }
        return xml_.children(element, {reads("include", &Reader::read_include, Times::any),
                                       reads("exclude", &Reader::read_exclude, Times::any)});
    }

    Status read_include(const XMLElement& element) {
        return read_writer(element, config_.writers.included);
    }
    Status read_exclude(const XMLElement& element) {
        return read_writer(element, config_.writers.excluded);
    }

    Status read_writer(const XMLElement& element, std::vector<std::string>& list) {
        SP_TRY(xml_.only_attributes(element, {"writer"}));
        const char* text = element.Attribute("writer");
        const std::string name = text == nullptr ? "" : text;
        if (name.empty() || name.size() > writer_bytes_max) {
            return xml_.wrong(element.GetLineNum(),
                              "<" + std::string(element.Name()) +
                                  "> needs a writer: its name, or its class id as {…}");
        }
        if (name.starts_with('{') && !is_class_id(name)) {
            return xml_.wrong(element.GetLineNum(), "writer=\"" + name + "\" is no class id");
        }
        if (list.size() == writers_max) {
            return xml_.wrong(element.GetLineNum(),
                              "at most " + std::to_string(writers_max) + " writers");
        }
        list.push_back(name);
        return xml_.children(element, {});
    }

    Status read_hooks(const XMLElement& element) {
        if (element.Attribute("dir") != nullptr) {
            SP_ASSIGN(config_.hooks_folder, xml_.path(element, "dir"));
        }
        hooks::Hook hook;
        hook.name = guest_config_hook;
        const auto defaults = [this](const XMLElement& child) {
            return read_hook_defaults(xml_, child, config_.hook_defaults);
        };
        SP_ASSIGN(const bool found,
                  read_hook_element(xml_, element, hook, {{"dir"}, {{"defaults", defaults}}, {}}));
        if (found) config_.hook = std::move(hook);
        return {};
    }

    StrictXml xml_;
    GuestConfig config_;
};

}  // namespace

Result<GuestConfig> parse_guest_config(std::string_view xml, const std::string& file) {
    return Reader{file}.read(xml);
}

}  // namespace stillpoint::windows_guest
