#include "test_domain.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "env/random.hpp"

namespace stillpoint::test {
namespace {

const env::SystemClock system_clock;

env::Deadline soon() {
    return {system_clock, std::chrono::seconds{60}};
}

env::Path lab() {
    const char* folder = std::getenv("STILLPOINT_LAB");
    if (folder == nullptr) throw std::runtime_error("run me below tests/vm/with-libvirt.sh");
    return folder;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in{text};
    for (std::string line; std::getline(in, line);) {
        if (!line.empty()) lines.push_back(line);
    }
    return lines;
}

std::string joined(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : " ") + name;
    return text;
}

std::string read_all(const env::Path& path) {
    std::ifstream in{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
}

constexpr const char* domain_head = R"(<domain type='qemu'><name>@</name>
<memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<controller type='usb' model='none'/><video><model type='none'/></video><memballoon model='none'/>
<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
<channel type='unix'><target type='virtio' name='org.stillpoint.guest.0'/></channel>
)";

}  // namespace

env::ProcessOutput virsh(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"virsh", "-q"});
    return must(env::run_process(arguments, soon(), env::CancelToken{}));
}

std::string run(const std::vector<std::string>& arguments) {
    const auto output = must(env::run_process(arguments, soon(), env::CancelToken{}));
    if (output.exit_code != 0) {
        throw std::runtime_error(arguments[0] + " " + arguments[1] + ": " + output.errors);
    }
    return output.out;
}

std::string virsh_ok(const std::vector<std::string>& arguments) {
    std::vector<std::string> all{"virsh", "-q"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run(all);
}

env::Path job_folder() {
    const env::Path folder = lab() / ("j" + env::random_hex(4));
    must(env::make_folders(folder, 0700));  // as the route makes them
    return folder;
}

TestDomain::TestDomain(const std::vector<TestDisk>& disks)
    : name_("t" + env::random_hex(4)), folder_(lab() / name_) {
    must(env::make_folders(folder_, 0711));
    std::string xml = domain_head;
    xml.replace(xml.find('@'), 1, name_);
    for (const TestDisk& disk : disks) xml += create_image(disk);
    std::ofstream{folder_ / "domain.xml"} << xml << "</devices></domain>\n";
    virsh_ok({"define", folder_ / "domain.xml"});
    start();
}

TestDomain::~TestDomain() {
    virsh({"destroy", name_});
    virsh({"undefine", name_, "--checkpoints-metadata"});
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
}

std::string TestDomain::create_image(const TestDisk& disk) {
    disks_.push_back(disk);
    references_[disk.name] = std::string(static_cast<std::size_t>(disk.size_mib) << 20, '\0');
    run({"qemu-img", "create", "-q", "-f", disk.format, image(disk.name),
         std::to_string(disk.size_mib) + "M"});
    return "<disk type='file' device='disk'><driver name='qemu' type='" + disk.format +
           "' cache='unsafe'/><source file='" + image(disk.name).string() + "'/><target dev='" +
           disk.name + "' bus='virtio'/><alias name='ua-" + disk.name + "'/><serial>serial-" +
           disk.name + "</serial></disk>\n";
}

env::Path TestDomain::image(const std::string& disk) const {
    return folder_ / (disk + ".img");
}

void TestDomain::start() const {
    virsh_ok({"start", "--paused", name_});
}
void TestDomain::destroy() const {
    virsh_ok({"destroy", name_});
}

void TestDomain::kill_qemu() const {
    const std::string pid = read_all("/run/libvirt/qemu/" + name_ + ".pid");
    const auto qemu = must(env::ProcessWatch::open(static_cast<pid_t>(std::stoi(pid))));
    qemu.kill(SIGKILL);
    if (!qemu.ended(soon())) throw std::runtime_error("QEMU did not end");
    // libvirt notices the end of the monitor; ask until it has.
    while (state() != "shut off") {
    }
}

void TestDomain::attach(const TestDisk& disk) {
    const env::Path file = folder_ / (disk.name + ".xml");
    std::ofstream{file} << create_image(disk);
    virsh_ok({"attach-device", name_, file, "--live"});
}

std::string TestDomain::monitor(const std::string& command) const {
    return virsh_ok({"qemu-monitor-command", name_, "--hmp", command});
}

std::string TestDomain::qmp(const std::string& command) const {
    return virsh_ok({"qemu-monitor-command", name_, command});
}

void TestDomain::write(const std::string& disk, int pattern, std::uint64_t at,
                       std::uint64_t length) {
    monitor("qemu-io -d /machine/peripheral/ua-" + disk + "/virtio-backend \"write -P " +
            std::to_string(pattern) + " " + std::to_string(at) + " " + std::to_string(length) +
            "\"");
    std::fill_n(references_.at(disk).begin() + static_cast<std::ptrdiff_t>(at), length,
                static_cast<char>(pattern));
}

std::string TestDomain::checkpoints() const {
    return joined(lines_of(virsh_ok({"checkpoint-list", name_, "--name"})));
}

std::string TestDomain::bitmaps(const std::string& disk) const {
    const auto answer = must(serialization::parse_json(
        qmp(R"({"execute":"query-named-block-nodes","arguments":{"flat":true}})")));
    std::vector<std::string> names;
    for (const auto& node : *answer.find("return")->array()) {
        const auto* list = node.find("dirty-bitmaps");
        if (list == nullptr || node.text_or("drv") != "qcow2") continue;
        if (node.text_or("file") != image(disk)) continue;  // not a scratch file above it
        for (const auto& bitmap : *list->array()) names.push_back(bitmap.text_or("name"));
    }
    return joined(std::move(names));
}

std::string TestDomain::state() const {
    const auto lines = lines_of(virsh_ok({"domstate", name_}));
    return lines.empty() ? "" : lines.front();
}

bool TestDomain::has_job() const {
    return virsh({"domjobinfo", name_}).out.find("None") == std::string::npos;
}

std::string read_export(const hypervisor::DiskExport& item) {
    const env::Path file = lab() / ("copy-" + env::random_hex(4));
    run({"nbdcopy", "nbd+unix:///" + item.export_name + "?socket=" + item.socket, file});
    std::string bytes = read_all(file);
    std::filesystem::remove(file);
    return bytes;
}

std::map<std::uint64_t, std::uint64_t> dirty_map(const hypervisor::DiskExport& item) {
    const std::string text = run({"nbdinfo", "--map=" + item.dirty_context,
                                  "nbd+unix:///" + item.export_name + "?socket=" + item.socket});
    std::map<std::uint64_t, std::uint64_t> dirty;
    for (const std::string& line : lines_of(text)) {
        std::istringstream fields{line};
        std::uint64_t at = 0;
        std::uint64_t length = 0;
        int type = 0;
        fields >> at >> length >> type;
        if (type != 0) dirty[at] = length;
    }
    return dirty;
}

}  // namespace stillpoint::test
