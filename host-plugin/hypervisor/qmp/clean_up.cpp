#include "hypervisor/hypervisor.hpp"
#include "hypervisor/qmp/scratch.hpp"
#include "hypervisor/qmp/teardown.hpp"

namespace stillpoint::hypervisor {

namespace {

// Both bitmaps stay where the new point may be durable: the next run knows, the keeper does not.
Status drop_new_bitmaps(qmp::QmpClient& client, const qmp::Session& session,
                        const env::Deadline& deadline) {
    std::map<std::string, std::vector<std::string>> by_node;
    for (const qmp::SessionDisk& disk : session.disks) {
        if (!disk.new_bitmap.empty()) by_node[disk.source].push_back(disk.new_bitmap);
    }
    return qmp::drop_bitmaps(client, by_node, deadline);
}

}  // namespace

Status clean_up_qmp(const serialization::Value& document, const env::Deadline& deadline) {
    SP_ASSIGN(const auto session,
              serialization::from_value<qmp::Session>(document, "keeper document"));
    if (session.driver != "qmp") {
        return fail(Errc::invalid, "keeper.driver",
                    "a document of driver " + session.driver + " is not for QMP");
    }
    SP_ASSIGN(auto client, qmp::connect_if_alive(session.socket, deadline));
    if (client) SP_TRY(qmp::end_in_qemu(*client, session, deadline));
    if (client && document.boolean_or("undecided", false)) {
        SP_TRY(drop_new_bitmaps(*client, session, deadline));
    }
    return qmp::remove_scratch(session);
}

}  // namespace stillpoint::hypervisor
