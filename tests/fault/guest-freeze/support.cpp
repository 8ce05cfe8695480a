#include "support.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <map>
#include <stdexcept>

#include "freeze/freeze_engine.hpp"

namespace stillpoint::test {
namespace {

using namespace linux_guest;

int on_folder(const fs::path& folder, unsigned long request) {
    const os::UniqueFd fd{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    return ::ioctl(fd.get(), request, 0) == 0 ? 0 : errno;
}

std::string quoted(const fs::path& path) {
    return "'" + path.string() + "'";
}

bool writes_a_file(const fs::path& folder) {
    const os::UniqueFd fd{
        ::open((folder / "written").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    return fd.valid() && ::write(fd.get(), "x", 1) == 1;
}

}  // namespace

bool enter_private_mounts() {
    return ::geteuid() == 0 && ::unshare(CLONE_NEWNS) == 0 &&
           ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

bool shell(const std::string& command) {
    return std::system(("{ " + command + "; } >/dev/null 2>&1").c_str()) == 0;
}

TempFolder::TempFolder() {
    std::string name = fs::temp_directory_path() / "stillpoint-freeze-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
}

TempFolder::~TempFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

LoopFs::LoopFs(const fs::path& folder, const std::string& name, const std::string& type)
    : image_(folder / (name + ".img")), point_(folder / name) {
    const std::string size = type == "xfs" ? "400M" : "64M";
    fs::create_directories(point_);
    const bool made = shell("truncate -s " + size + " " + quoted(image_)) &&
                      shell("mkfs." + type + " -q " + quoted(image_)) &&
                      shell("mount -o loop " + quoted(image_) + " " + quoted(point_));
    if (!made) throw std::runtime_error("cannot mount a " + type + " on a loop device");
}

LoopFs::~LoopFs() {
    // After a test that failed something may still be frozen, and would stay so for good.
    while (foreign_thaw() == 0) {
    }
    shell("umount " + quoted(point_) + " || umount -l " + quoted(point_));
    std::error_code ignored;
    fs::remove(image_, ignored);
}

int LoopFs::foreign_freeze() const {
    return on_folder(point_, FIFREEZE);
}

int LoopFs::foreign_thaw() const {
    return on_folder(point_, FITHAW);
}

Writer::Writer(const fs::path& folder) {
    os::FdPair pipe = os::make_pipe().value();
    pid_ = ::fork();
    if (pid_ == 0) {
        const char done = writes_a_file(folder) ? 'y' : 'n';
        ::_exit(::write(pipe.second.get(), &done, 1) == 1 ? 0 : 1);
    }
    result_ = std::move(pipe.first);
}

Writer::~Writer() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, done_within(slack) ? 0 : WNOHANG);
}

bool Writer::done_within(Nanoseconds span) const {
    pollfd ready{result_.get(), POLLIN, 0};
    return ::poll(&ready, 1, os::poll_ms(Nanoseconds{0}, span)) > 0;
}

StuckWriter::StuckWriter(const fs::path& folder) {
    os::FdPair pipe = os::make_pipe().value();
    os::FdPair begun = os::make_pipe().value();
    pid_ = ::fork();
    if (pid_ == 0) {
        pipe.second.reset();
        const os::UniqueFd file{
            ::open((folder / "spliced").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
        begun.second.reset();
        // An empty pipe: splice has begun to write and waits for something to write.
        ::splice(pipe.first.get(), nullptr, file.get(), nullptr, 4096, 0);
        ::_exit(0);
    }
    begun.second.reset();
    char none = 0;
    if (::read(begun.first.get(), &none, 1) != 0) throw std::runtime_error("stuck writer");
    feed_ = std::move(pipe.second);
    const std::string stat = "/proc/" + std::to_string(pid_) + "/syscall";
    const auto splicing = [&] {
        return os::read_file(stat, 4096).value_or("").starts_with(std::to_string(SYS_splice) + " ");
    };
    if (!eventually(slack, splicing)) throw std::runtime_error("the stuck writer does not write");
}

void StuckWriter::release() {
    // A byte, not an end: children forked meanwhile hold the pipe open.
    [[maybe_unused]] const ssize_t done = ::write(feed_.get(), "x", 1);
}

StuckWriter::~StuckWriter() {
    release();
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

FreezePlan plan_of_all() {
    SystemFreezeEngine engine{{}};
    return engine.plan().value();
}

FreezePlan plan_below(const fs::path& folder) {
    FreezePlan plan = plan_of_all();
    const auto foreign = [&](const auto& entry) {
        return !entry.name.starts_with(folder.string() + "/");
    };
    std::erase_if(plan.targets, foreign);
    std::erase_if(plan.uncovered, foreign);
    return plan;
}

Elsewhere::Elsewhere(fs::path point) : point_(std::move(point)) {
    os::FdPair ready = os::make_pipe().value();
    pid_ = ::fork();
    if (pid_ == 0) {
        const char done = ::unshare(CLONE_NEWNS) == 0 ? 'y' : 'n';
        if (::write(ready.second.get(), &done, 1) != 1) ::_exit(1);
        for (;;) ::pause();
    }
    char done = 0;
    if (::read(ready.first.get(), &done, 1) != 1 || done != 'y')
        throw std::runtime_error("unshare");
}

Elsewhere::~Elsewhere() {
    while (foreign_thaw() == 0) {
    }
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
}

int Elsewhere::foreign_freeze() const {
    return on_folder("/proc/" + std::to_string(pid_) + "/root" + point_.string(), FIFREEZE);
}

int Elsewhere::foreign_thaw() const {
    return on_folder("/proc/" + std::to_string(pid_) + "/root" + point_.string(), FITHAW);
}

std::vector<pid_t> processes_named(const std::string& name, pid_t parent) {
    std::map<pid_t, std::pair<pid_t, std::string>> all;  // pid -> parent, name
    for (const auto& entry : fs::directory_iterator("/proc")) {
        const pid_t pid = std::atoi(entry.path().filename().c_str());
        std::ifstream stat{entry.path() / "stat"};
        std::string line;
        if (pid == 0 || !std::getline(stat, line)) continue;
        const std::size_t open = line.find('(');
        const std::size_t close = line.rfind(')');
        const char state = line[close + 2];
        if (state == 'Z' || state == 'X') continue;
        all[pid] = {std::atoi(line.c_str() + close + 4), line.substr(open + 1, close - open - 1)};
    }
    std::vector<pid_t> found;
    for (const auto& [pid, process] : all) {
        const auto above = all.find(process.first);
        const bool related =
            process.first == parent || (above != all.end() && above->second.first == parent);
        if (related && process.second == name) found.push_back(pid);
    }
    return found;
}

bool eventually(Nanoseconds span, const std::function<bool()>& condition) {
    const Nanoseconds until = os::boottime() + span;
    while (!condition()) {
        if (os::boottime() > until) return false;
        ::poll(nullptr, 0, 5);
    }
    return true;
}

}  // namespace stillpoint::test
