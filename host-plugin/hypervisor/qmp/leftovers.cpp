#include "hypervisor/qmp/leftovers.hpp"

#include <algorithm>

#include "hypervisor/qmp/teardown.hpp"

namespace stillpoint::hypervisor::qmp {
namespace {

using serialization::Value;

/// The device that sits on the filter, and the node below it.
void find_place(SessionDisk& disk, const BlockAnswers& answers) {
    disk.root = file_child(answers.graph, disk.filter_node);
    for (const Value& entry : elements(answers.block)) {
        const Value* inserted = entry.find("inserted");
        if (inserted == nullptr || inserted->text_or("node-name") != disk.filter_node) continue;
        disk.qdev = entry.text_or("qdev");
        disk.device_path = qom_path_of(disk.qdev);
    }
}

// The scratch image's folder. The format's node has no plain file name: its backing was overridden.
env::Path folder_of(const SessionDisk& disk, const BlockAnswers& answers) {
    for (const Value& node : elements(answers.nodes)) {
        if (node.text_or("node-name") != disk.scratch_file_node) continue;
        return env::Path{node.text_or("file")}.parent_path();
    }
    return {};
}

}  // namespace

std::vector<Session> find_leftovers(const BlockAnswers& answers) {
    std::vector<Session> sessions;
    const std::string prefix = session_name(NodeKind::scratch, "");
    for (const Value& node : elements(answers.nodes)) {
        const std::string name = node.text_or("node-name");
        if (!name.starts_with(prefix)) continue;
        SessionDisk disk;
        name_nodes(disk, name.substr(prefix.size()));
        find_place(disk, answers);
        Session session;
        session.label = "left behind";
        const bool filtered = !file_child(answers.graph, disk.filter_node).empty();
        session.mode = filtered ? Mode::copy_before_write : Mode::backup_job;
        session.nbd_socket = folder_of(disk, answers) / nbd_socket_name;
        session.disks.push_back(std::move(disk));
        sessions.push_back(std::move(session));
    }
    return sessions;
}

Status end_leftovers(QmpClient& client, const env::Deadline& deadline) {
    SP_ASSIGN(const auto names, ask_node_names(client, deadline));
    const auto ours = [](const std::string& name) {
        return name.starts_with(session_name(NodeKind::scratch, ""));
    };
    if (std::none_of(names.begin(), names.end(), ours)) return {};
    SP_ASSIGN(const BlockAnswers answers, ask_blocks(client, deadline));
    for (const Session& session : find_leftovers(answers)) {
        SP_TRY(end_in_qemu(client, session, deadline));
    }
    return {};
}

}  // namespace stillpoint::hypervisor::qmp
