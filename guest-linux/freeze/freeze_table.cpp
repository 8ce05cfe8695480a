#include "freeze/freeze_table.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "base/check.hpp"
#include "os/fd.hpp"

namespace stillpoint::linux_guest {
namespace {

constexpr std::size_t head_bytes = 64;  // rows start on a cache line of their own

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

Result<FreezeTable> FreezeTable::create(std::size_t rows) {
    static_assert(sizeof(Head) <= head_bytes);
    const std::size_t bytes = head_bytes + rows * sizeof(FreezeRow);
    void* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return fail(os::os_error("map shared memory", errno));
    FreezeTable table{memory, bytes, rows};
    std::construct_at(static_cast<Head*>(memory));
    for (std::size_t i = 0; i < rows; ++i) std::construct_at(&table.row(i));
    return table;
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
