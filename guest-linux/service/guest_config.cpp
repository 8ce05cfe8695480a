#include "service/guest_config.hpp"

#include <vector>

#include "hooks/hook_file.hpp"
#include "os/fd.hpp"
#include "service/freeze_config.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::Nanoseconds;
using tinyxml2::XMLElement;

class Reader : StrictXml {
public:
    explicit Reader(const std::string& file)
        : StrictXml(file, {"config.guest", "stillpoint-guest.xml(5)"}) {}

    Result<GuestConfig> read(std::string_view xml) {
        SP_TRY(document(xml, {"guest", [this](const XMLElement& root) -> Status {
                                  SP_TRY(only_attributes(root, {}));
                                  return read_guest(root);
                              }}));
        return std::move(config_);
    }

private:
    using Handler = Status (Reader::*)(const XMLElement&);
    struct Child {
        std::string_view name;
        Handler handler;
    };

    /// Calls the handler of each child element; each may stand once unless it is `repeated`.
    Status children(const XMLElement& element, const std::vector<Child>& accepted,
                    std::string_view repeated = {}) {
        std::vector<StrictXml::Child> entries;
        entries.reserve(accepted.size());
        for (const Child& child : accepted) {
            entries.push_back({child.name,
                               [this, handler = child.handler](const XMLElement& found) {
                                   return (this->*handler)(found);
                               },
                               child.name == repeated});
        }
        return StrictXml::children(element, entries);
    }

    Status read_guest(const XMLElement& element) {
        return children(element,
                        {{"freeze", &Reader::read_freeze}, {"hooks", &Reader::read_hooks}});
    }

    Status read_freeze(const XMLElement& element) {
        return read_freeze_config(*this, element, config_);
    }

    Status read_hooks(const XMLElement& element) {
        if (element.Attribute("dir") != nullptr) {
            SP_ASSIGN(config_.hooks_folder, path(element, "dir"));
        }
        Hook hook;
        hook.name = guest_config_hook;
        const auto defaults = [this](const XMLElement& child) {
            return read_hook_defaults(*this, child, config_.hook_defaults);
        };
        SP_ASSIGN(const bool found,
                  read_hook_element(*this, element, hook, {{"dir"}, {{"defaults", defaults}}, {}}));
        if (found) config_.hook = std::move(hook);
        return {};
    }

    GuestConfig config_;
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

}  // namespace stillpoint::linux_guest
