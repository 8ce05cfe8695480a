#include "service/guest_config_file.hpp"

#include "os/trusted_path.hpp"

namespace stillpoint::windows_guest {

Result<GuestConfig> load_guest_config(const std::string& file, const os::TrustRules& trust) {
    GuestConfig config;
    auto xml = os::read_trusted(file, guest_config_bytes_max, trust);
    if (xml) {
        SP_ASSIGN(config, parse_guest_config(*xml, file));
    } else if (xml.error().code != Errc::not_found) {
        Error error = in_step("configuration", xml.error());
        if (error.code == Errc::denied) error.id = "config.untrusted";
        return fail(std::move(error));
    }
    if (config.hooks_folder.empty()) {
        config.hooks_folder = file.substr(0, file.find_last_of('\\')) + "\\hooks.d";
    }
    return config;
}

}  // namespace stillpoint::windows_guest
