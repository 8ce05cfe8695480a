#include "hypervisor/qmp/teardown.hpp"

#include <algorithm>
#include <functional>

#include "env/peer.hpp"
#include "hypervisor/qmp/probe.hpp"
#include "hypervisor/qmp/scratch.hpp"

namespace stillpoint::hypervisor::qmp {
namespace {

using serialization::Array;
using serialization::Map;
using serialization::Value;

// An event may be lost with the connection that waited for it: look again after this time.
constexpr env::Nanoseconds look_again = std::chrono::milliseconds{200};
constexpr env::Nanoseconds leave_budget = std::chrono::seconds{3};

/// The first failure of a row of steps that all have to be tried.
class FirstFailure {
public:
    void note(Status status) {
        if (first_ && !status) first_ = std::move(status);
    }
    [[nodiscard]] Status take() { return std::move(first_); }

private:
    Status first_;
};

class Teardown {
public:
    Teardown(QmpClient& client, const Session& session, const env::Deadline& deadline)
        : client_(client), session_(session), deadline_(deadline) {}

    Status run() {
        FirstFailure failure;
        failure.note(resume_if_we_stopped(client_, session_, deadline_));
        failure.note(remove_exports());
        failure.note(cancel_jobs());
        failure.note(resume_after_full_scratch());
        failure.note(stop_nbd_server());
        failure.note(remove_nodes());
        return failure.take();
    }

private:
    Result<std::vector<std::string>> ours(const char* query);
    Status wait_gone(const char* query);
    Status remove_exports();
    Status cancel_jobs();
    Status resume_after_full_scratch();
    Status stop_nbd_server();
    Status remove_nodes();
    Status put_root_back(const SessionDisk& disk);

    QmpClient& client_;
    const Session& session_;
    env::Deadline deadline_;
    bool ended_jobs_ = false;
};

// Ids of ours that a query-… lists. No other export or job has such a name.
Result<std::vector<std::string>> Teardown::ours(const char* query) {
    SP_ASSIGN(const Value answer, client_.execute(query, {}, deadline_));
    std::vector<std::string> found;
    for (const Value& entry : elements(answer)) {
        const std::string id = entry.text_or("id");
        const auto is_ours = [&](const SessionDisk& d) {
            return id == d.export_id || id == d.probe_id || id == d.job_id;
        };
        if (std::any_of(session_.disks.begin(), session_.disks.end(), is_ours)) found.push_back(id);
    }
    return found;
}

Status Teardown::wait_gone(const char* query) {
    while (true) {
        SP_ASSIGN(const auto left, ours(query));
        if (left.empty()) return {};
        if (deadline_.passed()) {
            return fail(Errc::timeout, "qmp.still_there",
                        left.front() + " in QEMU " + session_.label + " did not end in time");
        }
        const auto event = client_.wait_event(
            [](const Event& e) {
                return e.name == "BLOCK_EXPORT_DELETED" || e.name == "BLOCK_JOB_CANCELLED" ||
                       e.name == "BLOCK_JOB_COMPLETED" || e.name == "JOB_STATUS_CHANGE";
            },
            deadline_.at_most(look_again));
        if (!event && event.error().code != Errc::timeout) return fail(event.error());
    }
}

Status Teardown::remove_exports() {
    SP_ASSIGN(const auto exports, ours("query-block-exports"));
    FirstFailure failure;
    for (const std::string& id : exports) {
        // hard: a reader that is still connected is ours, and its snapshot ends here.
        failure.note(client_.run("block-export-del", Map{{"id", id}, {"mode", "hard"}}, deadline_));
    }
    failure.note(wait_gone("query-block-exports"));
    return failure.take();
}

Status Teardown::cancel_jobs() {
    SP_ASSIGN(const auto jobs, ours("query-jobs"));
    FirstFailure failure;
    for (const std::string& id : jobs) {
        ended_jobs_ = true;
        // force: a job that somebody paused refuses to be cancelled otherwise.
        failure.note(
            client_.run("block-job-cancel", Map{{"device", id}, {"force", true}}, deadline_));
    }
    failure.note(wait_gone("query-jobs"));
    return failure.take();
}

// A backup job whose scratch is full stops the guest. Should the guest's own disk be full instead,
// QEMU repeats the write and pauses again at once: resuming is harmless.
Status Teardown::resume_after_full_scratch() {
    if (session_.mode != Mode::backup_job || !ended_jobs_) return {};
    SP_ASSIGN(const std::string state, ask_run_state(client_, deadline_));
    if (state != "io-error") return {};
    return client_.run("cont", {}, deadline_);
}

// QEMU has one NBD server at most. It is ours when somebody answers on our socket.
Status Teardown::stop_nbd_server() {
    const NbdServer server = take_leave(session_.nbd_socket, deadline_.at_most(leave_budget));
    if (server == NbdServer::none) return {};
    if (server == NbdServer::silent) {
        return fail(Errc::timeout, "qmp.still_there",
                    "the NBD server of QEMU " + session_.label +
                        " did not end a connection in time; stopping it now could hang QEMU");
    }
    return client_.run("nbd-server-stop", {}, deadline_);
}

Status Teardown::put_root_back(const SessionDisk& disk) {
    SP_ASSIGN(const auto roots, ask_roots(client_, deadline_));
    const auto root = roots.find(disk.qdev);
    // A device that is gone, or sits on something else by now, holds our filter no more.
    if (root == roots.end() || root->second != disk.filter_node) return {};
    return client_.run("qom-set",
                       Map{{"path", disk.device_path}, {"property", "drive"}, {"value", disk.root}},
                       deadline_);
}

Status Teardown::remove_nodes() {
    SP_ASSIGN(const auto nodes, ask_node_names(client_, deadline_));
    FirstFailure failure;
    const auto remove = [&](const std::string& node) {
        if (!nodes.contains(node)) return;
        failure.note(client_.run("blockdev-del", Map{{"node-name", node}}, deadline_));
    };
    for (const SessionDisk& disk : session_.disks) {
        remove(disk.probe_node);
        if (nodes.contains(disk.filter_node)) failure.note(put_root_back(disk));
        remove(disk.filter_node);
        remove(disk.scratch_node);
    }
    return failure.take();
}

}  // namespace

Status end_in_qemu(QmpClient& client, const Session& session, const env::Deadline& deadline) {
    return Teardown{client, session, deadline}.run();
}

Status drop_bitmaps(QmpClient& client,
                    const std::map<std::string, std::vector<std::string>>& by_node,
                    const env::Deadline& deadline) {
    SP_ASSIGN(const auto existing, ask_bitmaps(client, deadline));
    Array actions;
    for (const auto& [node, names] : by_node) {
        const auto found = existing.find(node);
        if (found == existing.end()) continue;
        for (const std::string& name : names) {
            const bool there = std::any_of(found->second.begin(), found->second.end(),
                                           [&](const BitmapInfo& b) { return b.name == name; });
            if (!there) continue;
            actions.push_back(Map{{"type", "block-dirty-bitmap-remove"},
                                  {"data", Map{{"node", node}, {"name", name}}}});
        }
    }
    if (actions.empty()) return {};
    return client.run("transaction", Map{{"actions", std::move(actions)}}, deadline);
}

Status resume_if_we_stopped(QmpClient& client, const Session& session,
                            const env::Deadline& deadline) {
    if (!PhaseFile::says_stopping(session.phase_file)) return {};
    const auto peer = env::peer_of(client.fd());
    const bool known = peer && peer->pid != 0 && session.qemu_pid != 0;
    if (known && peer->pid != session.qemu_pid) return {};  // another QEMU by now
    SP_ASSIGN(const std::string state, ask_run_state(client, deadline));
    if (state != "paused") return {};
    return client.run("cont", {}, deadline);
}

Result<std::optional<QmpClient>> connect_if_alive(const env::Path& socket,
                                                  const env::Deadline& deadline) {
    auto client = QmpClient::connect(socket, deadline);
    if (client) return std::optional<QmpClient>{std::move(*client)};
    const Error& error = client.error();
    const bool gone = error.code == Errc::not_found || error.id == "os.econnrefused";
    if (gone) return std::optional<QmpClient>{};
    return fail(error);
}

}  // namespace stillpoint::hypervisor::qmp
