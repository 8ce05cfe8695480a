#include "guest_vm.hpp"

#include <signal.h>
#include <unistd.h>

#include <regex>

#include "env/peer.hpp"
#include "env/poll.hpp"

namespace stillpoint::test {

using hypervisor::DiskExport;
using hypervisor::SnapshotPlan;
using hypervisor::qmp::QmpClient;
using serialization::Map;
using serialization::Value;
namespace fs = std::filesystem;

namespace {

QmpClient connect_patiently(const env::Path& socket) {
    const env::Deadline deadline = soon();
    while (true) {
        auto client = QmpClient::connect(socket, deadline);
        if (client) return std::move(*client);
        if (deadline.passed()) FAIL(client.error().text);
        need(env::pause(std::chrono::milliseconds{5}, {}));
    }
}

void give_to_nobody(const env::Path& path) {
    run({"chown", "nobody:nogroup", path});
}

std::string uri(const DiskExport& one) {
    return "nbd+unix:///" + one.export_name + "?socket=" + one.socket;
}

}  // namespace

env::Deadline soon() {
    return env::Deadline{real_clock, std::chrono::seconds{10}};
}

std::string run(const std::vector<std::string>& arguments) {
    const auto output = need(env::run_process(arguments, soon(), {}));
    if (output.exit_code != 0) FAIL(arguments[0] << ": " << output.errors);
    return output.out;
}

Lab::Lab(QemuUser user)
    : folder_(env::TemporaryFolder::create(fs::temp_directory_path(), "sp-qmp-").value()),
      as_nobody_(user == QemuUser::nobody_if_root && ::geteuid() == 0) {
    need(env::make_folders(vm_folder(), 0700));
    if (!as_nobody_) return;
    fs::permissions(folder_.path(), fs::perms::others_exec, fs::perm_options::add);
    give_to_nobody(vm_folder());
}

env::Path Lab::job_folder() {
    const env::Path folder = folder_.path() / ("job" + std::to_string(jobs_++));
    need(env::make_folders(folder, 0700));
    return folder;
}

env::Path Lab::make_disk(const DiskSpec& disk) const {
    const env::Path image = vm_folder() / (disk.id + "." + disk.format);
    std::vector<std::string> arguments{"qemu-img", "create", "-q", "-f", disk.format};
    if (!disk.create_options.empty()) {
        arguments.insert(arguments.end(), {"-o", disk.create_options});
    }
    arguments.insert(arguments.end(), {image.string(), std::to_string(disk.size)});
    run(arguments);
    if (as_nobody_) give_to_nobody(image);
    return image;
}

std::vector<std::string> virtio_disk(const Lab& lab, const DiskSpec& disk) {
    const std::string node = "n-" + disk.id;
    const std::string image = lab.vm_folder() / (disk.id + "." + disk.format);
    return {"-blockdev",
            "driver=" + disk.format + ",node-name=" + node +
                ",discard=unmap,file.driver=file,file.discard=unmap,file.filename=" + image,
            "-device", "virtio-blk-pci,id=" + disk.id + ",drive=" + node + ",serial=S-" + disk.id};
}

GuestVm::GuestVm(Lab& lab, const std::vector<DiskSpec>& disks, Boot boot,
                 std::vector<std::string> more_arguments)
    : folder_(lab.vm_folder()) {
    const std::string log = folder_ / "qemu.log";
    env::SpawnOptions options;
    auto& words = options.arguments;
    // qemu-io's words go to a log; a file size limit must fail a write, not kill QEMU.
    words = {"env", "--ignore-signal=XFSZ", "sh", "-c", "exec \"$@\" >>" + log + " 2>&1", "sh"};
    const auto add = [&](const std::vector<std::string>& more) {
        words.insert(words.end(), more.begin(), more.end());
    };
    const auto socket = [&](const char* name) {
        return "unix:" + (folder_ / name).string() + ",server=on,wait=off";
    };
    if (lab.as_nobody()) {
        as_user_ = {"setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"};
    }
    add(as_user_);
    add({"qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-m", "32", "-nodefaults",
         "-display", "none", "-no-user-config", "-qmp", socket("driver.sock"), "-qmp",
         socket("test.sock")});
    if (boot == Boot::paused) add({"-S"});
    for (const DiskSpec& disk : disks) add(virtio_disk(lab, disk));
    add(more_arguments);
    process_ = std::make_unique<env::Child>(need(env::Child::spawn(options)));
    client_ = std::make_unique<QmpClient>(connect_patiently(folder_ / "test.sock"));
}

GuestVm::~GuestVm() = default;

std::unique_ptr<hypervisor::qmp::QmpVm> GuestVm::open() const {
    return need(hypervisor::qmp::QmpVm::open(monitor(), "lab", real_clock));
}

Value GuestVm::ask(const std::string& command, Map arguments) {
    return need(client_->execute(command, std::move(arguments), soon()));
}

Status GuestVm::try_ask(const std::string& command, Map arguments) {
    return client_->run(command, std::move(arguments), soon());
}

void GuestVm::io(const std::string& disk, const std::string& words) {
    io_at("/machine/peripheral/" + disk + "/virtio-backend", words);
}

void GuestVm::io_at(const std::string& qdev, const std::string& words) {
    const Value said = ask("human-monitor-command",
                           Map{{"command-line", "qemu-io -d " + qdev + " \"" + words + "\""}});
    if (said.text() != nullptr && !said.text()->empty()) FAIL(words << ": " << *said.text());
}

std::string GuestVm::image_path(const std::string& disk) const {
    const env::Path qcow2 = folder_ / (disk + ".qcow2");
    return fs::exists(qcow2) ? qcow2.string() : (folder_ / (disk + ".raw")).string();
}

Bytes GuestVm::content(const std::string& disk) {
    io(disk, "flush");
    const std::string image = image_path(disk);
    const env::Path raw = image + ".content";
    run({"qemu-img", "convert", "-U", "-O", "raw", "-f", image.ends_with(".raw") ? "raw" : "qcow2",
         image, raw});
    Bytes bytes = need(env::read_file(raw, 1u << 30));
    need(env::remove_file(raw));
    return bytes;
}

std::string GuestVm::run_state() {
    return ask("query-status").text_or("status");
}

std::string GuestVm::inventory() {
    std::string all;
    const auto list = [&](const char* query, const char* name) {
        const Value answer = ask(query);
        for (const Value& entry : *answer.array()) all += entry.text_or(name) + "\n";
    };
    list("query-named-block-nodes", "node-name");
    list("query-block-exports", "id");
    list("query-jobs", "id");
    const Value block = ask("query-block");
    for (const Value& entry : *block.array()) {
        all += entry.find("inserted")->text_or("node-name") + "\n";
    }
    const Status server = try_ask("nbd-server-stop");
    all += server ? "NBD server\n" : "";
    return all;
}

std::vector<std::string> GuestVm::bitmaps(const std::string& disk) {
    std::vector<std::string> names;
    const Value nodes = ask("query-named-block-nodes");
    for (const Value& node : *nodes.array()) {
        const Value* list = node.find("dirty-bitmaps");
        if (node.text_or("node-name") != "n-" + disk || list == nullptr) continue;
        for (const Value& bitmap : *list->array()) {
            const std::string name = bitmap.text_or("name");
            if (!name.empty()) names.push_back(name);  // filters have nameless ones
        }
    }
    return names;
}

void GuestVm::limit_file_size(std::uint64_t bytes) {
    auto words = as_user_;  // the limits of another user's process are not ours to set
    const std::string pid = std::to_string(process_->pid());
    words.insert(words.end(), {"prlimit", "--pid", pid, "--fsize=" + std::to_string(bytes)});
    run(words);
}

void GuestVm::kill() {
    process_->kill(SIGKILL);
    need(process_->wait(soon()));
}

void GuestVm::quit() {
    client_.reset();
    process_->kill(SIGTERM);
    need(process_->wait(soon()));
}

Bytes read_export(const DiskExport& one, const env::Path& scratch) {
    const env::Path copy = scratch / ("copy-" + one.disk);
    run({"nbdcopy", uri(one), copy});
    Bytes bytes = need(env::read_file(copy, 1u << 30));
    need(env::remove_file(copy));
    return bytes;
}

std::string difference(const Bytes& one, const Bytes& other) {
    if (one.size() != other.size()) {
        return std::to_string(one.size()) + " and " + std::to_string(other.size()) + " bytes";
    }
    std::string text;
    for (std::size_t at = 0; at < one.size() && text.size() < 200; ++at) {
        if (one[at] == other[at]) continue;
        const bool first_of_block = at % (64 * KiB) == 0 || one[at - 1] == other[at - 1];
        if (!first_of_block) continue;
        text += std::to_string(at) + ":" + std::to_string(std::to_integer<int>(one[at])) + "/" +
                std::to_string(std::to_integer<int>(other[at])) + " ";
    }
    return text;
}

std::string dirty_map(const DiskExport& one) {
    const std::string listing = run({"nbdinfo", "--map=" + one.dirty_context, uri(one)});
    std::string dirty;
    const std::regex line{R"((\d+)\s+(\d+)\s+1\s)"};
    for (std::sregex_iterator it{listing.begin(), listing.end(), line}, end; it != end; ++it) {
        dirty += (dirty.empty() ? "" : " ") + (*it)[1].str() + "+" + (*it)[2].str();
    }
    return dirty;
}

std::string bitmap_name(const std::string& tag) {
    return tag.empty() ? tag : "stillpoint-00000000-" + tag;
}

SnapshotPlan plan_of(Lab& lab, const std::vector<std::string>& disks, const std::string& parent,
                     const std::string& next) {
    SnapshotPlan plan;
    plan.job_folder = lab.job_folder();
    plan.point_id = next;
    for (const std::string& disk : disks) {
        plan.disks.push_back({disk, bitmap_name(parent), bitmap_name(next)});
    }
    return plan;
}

}  // namespace stillpoint::test
