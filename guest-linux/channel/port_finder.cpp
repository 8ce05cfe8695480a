#include "channel/port_finder.hpp"

#include <filesystem>

#include "os/fd.hpp"

namespace stillpoint::linux_guest {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t name_bytes_max = 4096;

}  // namespace

Result<std::string> find_port(const std::string& name, const std::string& sysfs,
                              const std::string& dev) {
    std::error_code error;
    for (fs::directory_iterator at{sysfs + "/class/virtio-ports", error}, end; !error && at != end;
         at.increment(error)) {
        const auto found = os::read_file(at->path() / "name", name_bytes_max);
        if (!found || (*found != name && *found != name + "\n")) continue;
        const fs::path node = fs::path{dev} / at->path().filename();
        std::error_code ignored;
        if (fs::exists(node, ignored)) return node.string();
    }
    const fs::path link = fs::path{dev} / "virtio-ports" / name;
    if (fs::exists(link, error)) return link.string();
    return fail(Errc::not_found, "channel.no_port",
                "this machine has no virtio-serial port " + name,
                "add the channel to the VM's definition");
}

}  // namespace stillpoint::linux_guest
