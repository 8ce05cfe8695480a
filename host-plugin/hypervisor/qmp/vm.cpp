#include "hypervisor/qmp/vm.hpp"

#include <algorithm>
#include <array>

#include "env/random.hpp"
#include "hypervisor/qmp/leftovers.hpp"
#include "hypervisor/qmp/snapshot.hpp"
#include "hypervisor/qmp/teardown.hpp"

namespace stillpoint::hypervisor::qmp {
namespace {

namespace fs = std::filesystem;
using serialization::Map;
using serialization::Value;

constexpr env::Nanoseconds connect_budget = std::chrono::seconds{5};
constexpr env::Nanoseconds plan_budget = std::chrono::seconds{10};
constexpr const char* no_uuid = "00000000-0000-0000-0000-000000000000";
constexpr const char* guest_port = "org.stillpoint.guest.0";

/// A command that a storage daemon or an older QEMU may not have.
Result<Value> ask_if_known(QmpClient& client, const char* command, const env::Deadline& deadline) {
    auto answer = client.execute(command, {}, deadline);
    if (!answer && answer.error().code == Errc::unsupported) return Value{};
    return answer;
}

VmState state_of(const std::string& run_state) {
    if (run_state == "running") return VmState::running;
    // A storage daemon has no guest. Nothing proves how the VM of these disks went down.
    return run_state == "none" ? VmState::shut_off : VmState::paused;
}

}  // namespace

Result<std::unique_ptr<QmpVm>> QmpVm::open(const env::Path& socket, const std::string& label,
                                           const env::Clock& clock) {
    auto connected = QmpClient::connect(socket, env::Deadline{clock, connect_budget});
    if (!connected && connected.error().code == Errc::not_found) {
        return fail(Errc::not_found, "vm.not_found",
                    "no QMP monitor at " + socket.string() + ": " + connected.error().text,
                    "start QEMU with -qmp unix:" + socket.string() + ",server=on,wait=off");
    }
    if (!connected) return fail(connected.error());
    auto client = std::make_shared<QmpClient>(std::move(*connected));
    SP_ASSIGN(const env::Peer qemu, env::peer_of(client->fd()));
    std::error_code ignored;  // a relative path still works from here
    const env::Path absolute = fs::absolute(socket, ignored);
    const Monitor monitor{absolute.empty() ? socket : absolute, label, qemu.pid, client->version()};
    return std::make_unique<QmpVm>(std::move(client), monitor, qemu, clock);
}

Result<VmInfo> QmpVm::inspect(const env::Deadline& deadline) {
    VmInfo info;
    info.name = monitor_.label;
    SP_ASSIGN(const std::string run_state, ask_run_state(*client_, deadline));
    info.state = state_of(run_state);
    SP_ASSIGN(const Value uuid, ask_if_known(*client_, "query-uuid", deadline));
    info.uuid = uuid.text_or("UUID");
    if (info.uuid == no_uuid) info.uuid.clear();
    SP_ASSIGN(const auto devices, ask_devices(*client_, deadline));
    for (const DeviceFacts& device : devices) {
        SP_ASSIGN(DiskInfo disk, disk_info(device, deadline));
        info.disks.push_back(std::move(disk));
    }
    SP_ASSIGN(info.definition, definition(deadline));
    SP_ASSIGN(info.guest_channel, find_guest_channel(*client_, guest_port, deadline));
    info.guest_channel = canonical(info.guest_channel);
    return info;
}

Result<DiskInfo> QmpVm::disk_info(const DeviceFacts& device, const env::Deadline& deadline) {
    DiskInfo disk;
    disk.name = device.disk;
    disk.path = canonical(device.source.filename);
    disk.format = device.source.driver;
    disk.size = device.source.size;
    disk.read_only = device.source.read_only;
    disk.persistent_bitmaps = device.source.persistent_bitmaps;
    disk.transient_bitmaps = true;
    std::copy_if(device.source.bitmaps.begin(), device.source.bitmaps.end(),
                 std::back_inserter(disk.bitmaps),
                 [](const BitmapInfo& b) { return b.name.starts_with(our_bitmaps); });
    if (device.qdev.empty()) return disk;
    const auto serial = client_->execute(
        "qom-get", Map{{"path", qom_path_of(device.qdev)}, {"property", "serial"}}, deadline);
    if (serial && serial->text() != nullptr) disk.serial = *serial->text();
    if (!serial && !is_refusal(serial.error())) return fail(serial.error());
    return disk;
}

// Relative names are QEMU's, not ours; URLs and json: descriptions are taken as they are.
std::string QmpVm::canonical(const std::string& filename) const {
    if (filename.empty() || filename.find(':') != std::string::npos) return filename;
    std::error_code error;
    env::Path path{filename};
    if (path.is_relative() && monitor_.qemu_pid > 0) {
        const env::Path cwd = "/proc/" + std::to_string(monitor_.qemu_pid) + "/cwd";
        path = fs::read_symlink(cwd, error) / path;
        if (error) return filename;
    }
    const env::Path resolved = fs::weakly_canonical(path, error);
    return error ? path.string() : resolved.string();
}

Result<std::string> QmpVm::definition(const env::Deadline& deadline) {
    constexpr std::array questions{
        "query-version",         "query-name",  "query-uuid",
        "query-current-machine", "query-kvm",   "query-memory-size-summary",
        "query-cpus-fast",       "query-block", "query-named-block-nodes",
        "query-chardev"};
    Map document{{"driver", "qmp"}, {"label", monitor_.label}};
    for (const char* question : questions) {
        SP_ASSIGN(Value answer, ask_if_known(*client_, question, deadline));
        if (!answer.is_null()) document[question] = std::move(answer);
    }
    return to_json(Value{std::move(document)}, serialization::JsonStyle::indented);
}

Status QmpVm::remove_bitmaps(const std::map<std::string, std::vector<std::string>>& by_disk,
                             const env::Deadline& deadline) {
    SP_ASSIGN(const auto devices, ask_devices(*client_, deadline));
    std::map<std::string, std::vector<std::string>> by_node;
    for (const DeviceFacts& device : devices) {
        const auto names = by_disk.find(device.disk);
        if (names == by_disk.end()) continue;
        for (const std::string& name : names->second) {
            if (!name.starts_with(our_bitmaps)) {
                return fail(Errc::invalid, "qmp.foreign_bitmap",
                            "bitmap " + name + " of disk " + device.disk + " is not ours");
            }
        }
        by_node[device.source.name] = names->second;
    }
    return drop_bitmaps(*client_, by_node, deadline);
}

Result<std::unique_ptr<Snapshot>> QmpVm::plan_snapshot(const SnapshotPlan& plan) {
    const env::Deadline deadline{clock_, plan_budget};
    SP_TRY(end_leftovers(*client_, deadline));
    SP_ASSIGN(const auto devices, ask_devices(*client_, deadline));
    SP_ASSIGN(Session session, plan_session(devices, plan, monitor_, choice_, env::random_hex(4)));
    auto snapshot = std::make_unique<QmpSnapshot>(client_, std::move(session), qemu_, clock_);
    snapshot->limit_scratch(plan.scratch_budget);
    return std::unique_ptr<Snapshot>{std::move(snapshot)};
}

}  // namespace stillpoint::hypervisor::qmp

namespace stillpoint::hypervisor {

Result<std::unique_ptr<Vm>> open_qmp_vm(const env::Path& socket, const std::string& label,
                                        const env::Clock& clock) {
    SP_ASSIGN(auto vm, qmp::QmpVm::open(socket, label, clock));
    return std::unique_ptr<Vm>{std::move(vm)};
}

}  // namespace stillpoint::hypervisor
