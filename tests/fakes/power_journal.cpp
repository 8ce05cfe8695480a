#include "fakes/power_journal.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <random>
#include <set>

namespace stillpoint::fakes {
namespace {

using Call = PowerJournal::Call;
using Kind = Call::Kind;
using Leave = PowerJournal::Leave;

// Wrapped calls have no other way to find it.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<PowerJournal*> listening{nullptr};

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? std::string{} : path.substr(0, slash);
}

/// A name that came or went.
struct Change {
    const Call* call;
    bool durable = false;
};

struct File {
    std::vector<const Call*> writes;
    std::size_t synced = 0;  // so many of them
};

void write_into(Bytes& content, const Call& write, std::size_t count) {
    const std::size_t end = write.at + count;
    if (content.size() < end) content.resize(end);
    std::copy_n(write.bytes.begin(), count,
                content.begin() + static_cast<std::ptrdiff_t>(write.at));
}

std::shared_ptr<const Bytes> content_of(const File& file, Leave::Data data,
                                        std::mt19937_64& random) {
    if (data == Leave::Data::some) {
        constexpr std::array kinds{Leave::Data::none, Leave::Data::torn, Leave::Data::all};
        data = kinds.at(random() % kinds.size());
    }
    Bytes content;
    for (std::size_t at = 0; at < file.writes.size(); ++at) {
        const bool whole = at < file.synced || data == Leave::Data::all;
        if (!whole && data == Leave::Data::none) break;
        const std::size_t all = file.writes[at]->bytes.size();
        write_into(content, *file.writes[at], whole ? all : all / 2);
    }
    return std::make_shared<const Bytes>(std::move(content));
}

}  // namespace

PowerJournal::PowerJournal(env::Path folder, Rename rename)
    : folder_(std::move(folder)), rename_(rename) {
    listening = this;
}

PowerJournal::~PowerJournal() {
    listening = nullptr;
}

std::size_t PowerJournal::calls() const {
    const std::scoped_lock lock{mutex_};
    return calls_.size();
}

void PowerJournal::add(Call call) {
    call.folder = parent_of(call.path);
    calls_.push_back(std::move(call));
}

bool PowerJournal::matters(std::size_t call) const {
    const std::scoped_lock lock{mutex_};
    const Kind kind = calls_.at(call - 1).kind;
    return kind == Kind::link || kind == Kind::unlink || kind == Kind::sync_folder;
}

std::optional<std::string> PowerJournal::below(const char* path) const {
    const std::string name = env::Path{path}.lexically_normal().string();
    const std::string& root = folder_.native();
    if (name == root) return std::string{};
    if (!name.starts_with(root + "/")) return std::nullopt;
    return name.substr(root.size() + 1);
}

PowerJournal::Disk PowerJournal::after_cut(std::size_t calls, const Leave& leave) const {
    const std::scoped_lock lock{mutex_};
    std::vector<File> contents(files);
    std::vector<Change> changes;
    for (std::size_t at = 0; at < calls; ++at) {
        const Call& call = calls_.at(at);
        if (call.kind == Kind::write) {
            contents.at(call.file).writes.push_back(&call);
        } else if (call.kind == Kind::sync_file) {
            contents.at(call.file).synced = contents.at(call.file).writes.size();
        } else if (call.kind == Kind::sync_folder) {
            for (Change& change : changes) {
                if (change.call->folder == call.path) change.durable = true;
            }
        } else {
            changes.push_back({&call});
        }
    }
    std::mt19937_64 random{leave.seed};
    std::set<std::string> folders{""};
    std::map<std::string, std::size_t> names;
    for (const Change& change : changes) {
        const bool kept = change.durable || leave.names == Leave::Names::all ||
                          (leave.names == Leave::Names::some && random() % 2 == 0);
        const std::string& path = change.call->path;
        if (!kept || !folders.contains(change.call->folder)) continue;
        if (change.call->kind == Kind::make_folder) {
            folders.insert(path);
        } else if (change.call->kind == Kind::unlink) {
            names.erase(path);
        } else {
            names[path] = change.call->file;
        }
    }
    Disk disk;
    for (const auto& [path, number] : names) {
        const File& file = contents.at(number);
        const bool synced = file.synced == file.writes.size();
        auto& whole = whole_[{number, file.synced}];  // made once: most disks have most files
        if (!synced || !whole) disk[path] = content_of(file, leave.data, random);
        if (synced && !whole) whole = disk[path];
        if (synced) disk[path] = whole;
    }
    return disk;
}

namespace {

/// Does a call and writes it down, in the order in which calls are done.
template <class Do, class Note>
auto noted(Do&& act, Note&& note) {
    PowerJournal* journal = listening;
    if (journal == nullptr) return act();
    const std::scoped_lock lock{journal->mutex()};
    const auto result = act();
    if (result >= 0) note(*journal, result);
    return result;
}

void note_open(PowerJournal& journal, const char* path, int flags, int fd) {
    journal.open_files.erase(fd);
    journal.open_folders.erase(fd);
    const auto name = journal.below(path);
    if (!name) return;
    if ((flags & O_DIRECTORY) == O_DIRECTORY) {
        journal.open_folders[fd] = *name;
    } else if ((flags & O_CREAT) != 0) {
        const std::size_t file = journal.files++;
        journal.open_files[fd] = journal.by_path[*name] = file;
        journal.add({.kind = Kind::create, .path = *name, .file = file});
    }
}

void note_write(PowerJournal& journal, int fd, const void* bytes, std::size_t count, off_t at) {
    const auto file = journal.open_files.find(fd);
    if (file == journal.open_files.end()) return;
    const auto* first = static_cast<const std::byte*>(bytes);
    journal.add({.kind = Kind::write,
                 .file = file->second,
                 .at = static_cast<std::uint64_t>(at),
                 .bytes = Bytes(first, first + count)});
}

void note_sync(PowerJournal& journal, int fd) {
    const auto file = journal.open_files.find(fd);
    const auto folder = journal.open_folders.find(fd);
    if (file != journal.open_files.end()) {
        journal.add({.kind = Kind::sync_file, .file = file->second});
    } else if (folder != journal.open_folders.end()) {
        journal.add({.kind = Kind::sync_folder, .path = folder->second});
    }
}

void note_link(PowerJournal& journal, const char* from, const char* to) {
    const auto source = journal.below(from), target = journal.below(to);
    if (!source || !target) return;
    const std::size_t file = journal.by_path.at(*source);
    journal.by_path[*target] = file;
    journal.add({.kind = Kind::link, .path = *target, .file = file});
}

void note_unlink(PowerJournal& journal, const char* path) {
    if (const auto name = journal.below(path)) journal.add({.kind = Kind::unlink, .path = *name});
}

PowerJournal::Rename rename_now() {
    const PowerJournal* journal = listening;
    return journal == nullptr ? PowerJournal::Rename::known : journal->rename();
}

int open_with(int (*real)(const char*, int, ...), const char* path, int flags, mode_t mode) {
    return noted([&] { return real(path, flags, mode); },
                 [&](PowerJournal& journal, int fd) { note_open(journal, path, flags, fd); });
}

}  // namespace
}  // namespace stillpoint::fakes

// The linker's names for what it wraps and for what was there.
// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming, cert-dcl50-cpp)
extern "C" {

int __real_open64(const char* path, int flags, ...);
ssize_t __real_pwrite64(int fd, const void* bytes, std::size_t count, off_t at);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_mkdir(const char* path, mode_t mode);
int __real_renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags);
int __real_link(const char* from, const char* to);
int __real_unlink(const char* path);

int __wrap_open64(const char* path, int flags, ...) {
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    return stillpoint::fakes::open_with(&__real_open64, path, flags, mode);
}

ssize_t __wrap_pwrite64(int fd, const void* bytes, std::size_t count, off_t at) {
    return stillpoint::fakes::noted([&] { return __real_pwrite64(fd, bytes, count, at); },
                                    [&](auto& journal, ssize_t done) {
                                        stillpoint::fakes::note_write(
                                            journal, fd, bytes, static_cast<std::size_t>(done), at);
                                    });
}

int __wrap_fsync(int fd) {
    return stillpoint::fakes::noted(
        [&] { return __real_fsync(fd); },
        [&](auto& journal, int) { stillpoint::fakes::note_sync(journal, fd); });
}

int __wrap_fdatasync(int fd) {
    return stillpoint::fakes::noted(
        [&] { return __real_fdatasync(fd); },
        [&](auto& journal, int) { stillpoint::fakes::note_sync(journal, fd); });
}

int __wrap_mkdir(const char* path, mode_t mode) {
    return stillpoint::fakes::noted(
        [&] { return __real_mkdir(path, mode); },
        [&](auto& journal, int) {
            const auto name = journal.below(path);
            if (name) {
                journal.add({.kind = stillpoint::fakes::Kind::make_folder, .path = *name});
            }
        });
}

int __wrap_renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) {
    using stillpoint::fakes::PowerJournal;
    if (flags != 0 && stillpoint::fakes::rename_now() != PowerJournal::Rename::known) {
        errno = EINVAL;
        return -1;
    }
    return stillpoint::fakes::noted(
        [&] { return __real_renameat2(from_fd, from, to_fd, to, flags); },
        [&](auto& journal, int) {
            stillpoint::fakes::note_link(journal, from, to);
            stillpoint::fakes::note_unlink(journal, from);
        });
}

int __wrap_link(const char* from, const char* to) {
    using stillpoint::fakes::PowerJournal;
    const int done = stillpoint::fakes::noted(
        [&] { return __real_link(from, to); },
        [&](auto& journal, int) { stillpoint::fakes::note_link(journal, from, to); });
    if (done != 0 || stillpoint::fakes::rename_now() != PowerJournal::Rename::link_unanswered) {
        return done;
    }
    errno = EEXIST;
    return -1;
}

int __wrap_unlink(const char* path) {
    return stillpoint::fakes::noted(
        [&] { return __real_unlink(path); },
        [&](auto& journal, int) { stillpoint::fakes::note_unlink(journal, path); });
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming, cert-dcl50-cpp)
