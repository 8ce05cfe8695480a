#include "test_domain.hpp"

#include <algorithm>
#include <array>
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

// again: int 0x13 with AH=0x43 (extended write) of 64 sectors from 0x8000 to lba; on an error
// again; lba += 128, from 120000 back to 2048; again. Assembled from 16-bit code at 0x7c00:
//   xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7c00
//   again: mov si,packet; mov ah,0x43; mov al,0; mov dl,0x80; int 0x13; jc again
//   add dword [lba],128; cmp dword [lba],120000; jb again; mov dword [lba],2048; jmp again
//   packet: db 16,0; dw 64,0x8000,0; lba: dd 2048,0
constexpr std::array<unsigned char, 69> writer_boot_sector{
    0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xbe, 0x35, 0x7c, 0xb4, 0x43,
    0xb0, 0x00, 0xb2, 0x80, 0xcd, 0x13, 0x72, 0xf3, 0x66, 0x81, 0x06, 0x3d, 0x7c, 0x80,
    0x00, 0x00, 0x00, 0x66, 0x81, 0x3e, 0x3d, 0x7c, 0xc0, 0xd4, 0x01, 0x00, 0x72, 0xdf,
    0x66, 0xc7, 0x06, 0x3d, 0x7c, 0x00, 0x08, 0x00, 0x00, 0xeb, 0xd4, 0x10, 0x00, 0x40,
    0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};

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

TestDomain::TestDomain(const std::vector<TestDisk>& disks, Guest guest)
    : name_("t" + env::random_hex(4)), folder_(lab() / name_), guest_(guest) {
    must(env::make_folders(folder_, 0711));
    std::string xml = domain_head;
    xml.replace(xml.find('@'), 1, name_);
    for (const TestDisk& disk : disks) xml += create_image(disk);
    std::ofstream{folder_ / "domain.xml"} << xml << "</devices></domain>\n";
    if (guest == Guest::writes) make_bootable();
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
    std::vector<std::string> command{"start", name_};
    if (guest_ == Guest::none) command.emplace_back("--paused");
    virsh_ok(command);
}

void TestDomain::make_bootable() const {
    const env::Path raw = folder_ / "boot.raw";
    // Data everywhere: what is displaced to scratch must take room there.
    std::string bytes(references_.at("vda").size(), '\x5a');
    std::copy(writer_boot_sector.begin(), writer_boot_sector.end(), bytes.begin());
    bytes[510] = '\x55';
    bytes[511] = '\xaa';
    std::ofstream{raw, std::ios::binary} << bytes;
    run({"qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image("vda")});
    std::filesystem::remove(raw);
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

std::uint64_t TestDomain::written_bytes(const std::string& disk) const {
    for (const std::string& line : lines_of(virsh_ok({"domblkstat", name_, disk}))) {
        const auto at = line.find("wr_bytes ");
        if (at != std::string::npos) return std::stoull(line.substr(at + 9));
    }
    return 0;
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
