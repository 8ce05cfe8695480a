// stillpoint-keeper: ends what a dead backup left. Started by the plugin, never by hand.
#include "hypervisor/hypervisor.hpp"
#include "keeper/keeper.hpp"

using namespace stillpoint;

namespace {

Status clean_up(const serialization::Value& document, const env::Deadline& deadline) {
    const std::string driver = document.text_or("driver");
    if (driver == "qmp") return hypervisor::clean_up_qmp(document, deadline);
    if (driver == "libvirt") return hypervisor::clean_up_libvirt(document, deadline);
    if (driver == "image") return hypervisor::clean_up_image(document, deadline);
    return fail(Errc::unsupported, "keeper.driver",
                "the document to clean up by names the unknown driver '" + driver + "'");
}

}  // namespace

int main(int argc, char** argv) {
    return keeper::keeper_main(argc, argv, clean_up);
}
