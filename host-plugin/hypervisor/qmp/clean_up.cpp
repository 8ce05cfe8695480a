#include "hypervisor/hypervisor.hpp"
#include "hypervisor/qmp/scratch.hpp"
#include "hypervisor/qmp/teardown.hpp"

namespace stillpoint::hypervisor {

// Both bitmaps stay: whether the new point became durable the next run knows, the keeper does not.
Status clean_up_qmp(const serialization::Value& document, const env::Deadline& deadline) {
    SP_ASSIGN(const auto session,
              serialization::from_value<qmp::Session>(document, "keeper document"));
    if (session.driver != "qmp") {
        return fail(Errc::invalid, "keeper.driver",
                    "a document of driver " + session.driver + " is not for QMP");
    }
    SP_ASSIGN(auto client, qmp::connect_if_alive(session.socket, deadline));
    if (client) SP_TRY(qmp::end_in_qemu(*client, session, deadline));
    return qmp::remove_scratch(session);
}

}  // namespace stillpoint::hypervisor
