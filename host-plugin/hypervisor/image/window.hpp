#pragma once
#include <string>
#include <vector>

#include "hypervisor/image/session.hpp"
#include "hypervisor/qmp/client.hpp"

namespace stillpoint::hypervisor::image {

/// What changes about the bitmaps of one disk.
struct BitmapChange {
    SessionDisk disk;
    std::string add;                  // empty: none
    std::vector<std::string> remove;  // what is not there is left out
};

/// The moments in which images are ours alone and their bitmaps are changed: lock all, apply to
/// all in one transaction, close. A VM that is started meanwhile finds an image locked and fails;
/// so it is short. Killed before `apply` nothing has changed; killed inside, QEMU marks the bitmaps
/// as in use and the next backup compares.
class Window {
public:
    Window(qmp::QmpClient& client, std::vector<BitmapChange> changes, env::Deadline deadline)
        : client_(client), changes_(std::move(changes)), deadline_(deadline) {}
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;
    ~Window();

    /// Opens all images read only under QEMU's lock: from here on nobody writes. Writes nothing.
    /// @errors busy, id "image.locked": somebody has an image open · qmp.*
    Status lock();
    /// Changes the bitmaps; afterwards the images are stored whole and still locked.
    Status apply();
    /// Lets go.
    Status close();

private:
    Status reopen(Access access);
    Result<serialization::Array> actions();
    qmp::QmpClient& client_;
    std::vector<BitmapChange> changes_;
    env::Deadline deadline_;
    std::vector<std::string> open_;  // nodes, in the order of their making
};

}  // namespace stillpoint::hypervisor::image
