#include "hypervisor/hypervisor.hpp"
#include "hypervisor/image/daemon.hpp"

namespace stillpoint::hypervisor {

// Bitmaps stay as they are: whether the new point became durable the next run knows.
Status clean_up_image(const serialization::Value& document, const env::Deadline& deadline) {
    SP_ASSIGN(const auto order,
              serialization::from_value<image::KeeperOrder>(document, "keeper document"));
    if (order.driver != "image" || order.folder.empty()) {
        return fail(Errc::invalid, "keeper.driver",
                    "a document of driver " + order.driver + " is not for powered-off images");
    }
    SP_TRY(image::end_daemon(order, deadline));
    return image::remove_files(order);
}

}  // namespace stillpoint::hypervisor
