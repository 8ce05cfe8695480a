#include "freeze/freeze_table.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "base/check.hpp"
#include "os/fd.hpp"

namespace stillpoint::linux_guest {
namespace {

/// "SPFT", the form's number, and the size of a row, which changes with its members.
constexpr std::uint64_t form_now = 0x53504654'00010000U + sizeof(FreezeRow);

Result<os::UniqueFd> make_file(const std::string& path, std::size_t bytes) {
    ::unlink(path.c_str());  // never one that somebody still maps
    os::UniqueFd file{::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!file.valid()) return fail(os::os_error("create " + path, errno));
    // Room for all of it now: a page that is missing later would be a fatal signal.
    const int error = ::posix_fallocate(file.get(), 0, static_cast<off_t>(bytes));
    if (error != 0) return fail(os::os_error("reserve " + path, error));
    return file;
}

}  // namespace

const char* text_of(Trigger trigger) noexcept {
    switch (trigger) {
        case Trigger::none:
            return "none";
        case Trigger::deadline:
            return "the deadline passed";
        case Trigger::heartbeat:
            return "the agent stopped answering";
        case Trigger::agent_gone:
            return "the agent died";
        case Trigger::abort:
            return "the agent asked for it";
        case Trigger::watchdog_gone:
            return "the watchdog died";
    }
    return "unknown";
}

Result<FreezeTable> FreezeTable::create(std::size_t rows, const std::string& file) {
    static_assert(sizeof(Head) <= head_bytes);
    const std::size_t bytes = head_bytes + rows * sizeof(FreezeRow);
    os::UniqueFd backing;
    if (!file.empty()) {
        SP_ASSIGN(backing, make_file(file, bytes));
    }
    SP_ASSIGN(FreezeTable table, map(backing.get(), rows));
    for (std::size_t i = 0; i < rows; ++i) std::construct_at(&table.row(i));
    Head* const head = std::construct_at(static_cast<Head*>(table.memory_));
    head->rows = rows;
    head->form = form_now;
    return table;
}

Result<FreezeTable> FreezeTable::open(const std::string& file) {
    const os::UniqueFd backing{::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
    if (!backing.valid()) return fail(os::os_error("open " + file, errno));
    const auto wrong = [&] {
        return fail(Errc::corrupt, "freeze.state", file + " is not of this release");
    };
    struct stat found {};
    const bool whole =
        ::fstat(backing.get(), &found) == 0 && found.st_size >= static_cast<off_t>(head_bytes);
    if (!whole) return wrong();
    const std::size_t rows =
        (static_cast<std::size_t>(found.st_size) - head_bytes) / sizeof(FreezeRow);
    SP_ASSIGN(FreezeTable table, map(backing.get(), rows));
    const Head& head = *static_cast<const Head*>(table.memory_);
    if (head.form != form_now || head.rows != rows) return wrong();
    return table;
}

Result<FreezeTable> FreezeTable::map(int fd, std::size_t rows) {
    const std::size_t bytes = head_bytes + rows * sizeof(FreezeRow);
    const int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (memory == MAP_FAILED) return fail(os::os_error("map shared memory", errno));
    return FreezeTable{memory, bytes, rows};
}

FreezeTable::FreezeTable(FreezeTable&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_), rows_(other.rows_) {}

FreezeTable::~FreezeTable() {
    if (memory_ != nullptr) ::munmap(memory_, bytes_);
}

FreezeRow& FreezeTable::row(std::size_t index) const {
    SP_CHECK(index < rows_);
    auto* const first = static_cast<std::byte*>(memory_) + head_bytes;
    return *static_cast<FreezeRow*>(static_cast<void*>(first + index * sizeof(FreezeRow)));
}

std::atomic<bool>& FreezeTable::armed() const {
    return static_cast<Head*>(memory_)->armed;
}

std::atomic<Trigger>& FreezeTable::trigger() const {
    return static_cast<Head*>(memory_)->trigger;
}

}  // namespace stillpoint::linux_guest
