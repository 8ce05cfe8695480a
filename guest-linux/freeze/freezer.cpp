#include "freeze/freezer.hpp"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "os/process.hpp"

namespace stillpoint::linux_guest {
namespace {

int sync_filesystem(int folder_fd) noexcept {
    return ::syncfs(folder_fd) == 0 ? 0 : errno;
}

/// Sum of the write counters; -1: unknown, and then nothing can be said about writes.
std::int64_t count_writes(const std::vector<int>& stat_fds) noexcept {
    std::int64_t sum = 0;
    for (const int fd : stat_fds) {
        std::array<char, 512> line{};
        const ssize_t got = ::pread(fd, line.data(), line.size(), 0);
        if (got <= 0) return -1;
        const auto writes = writes_in_stat({line.data(), static_cast<std::size_t>(got)});
        if (!writes) return -1;
        sum += *writes;
    }
    return stat_fds.empty() ? -1 : sum;
}

bool cannot_freeze(int error) noexcept {
    return error == EOPNOTSUPP || error == ENOTTY || error == ENOSYS;
}

void sync(FreezeRow& row, const FreezerTools& tools) noexcept {
    row.sync_begin_ns = os::boottime().count();
    row.sync_errno = sync_filesystem(tools.folder_fd);
    row.sync_end_ns = os::boottime().count();
}

void freeze(FreezeRow& row, const FreezerTools& tools) noexcept {
    if (!try_move(row, Step::idle, Step::entering)) return;
    row.freeze_begin_ns = os::boottime().count();
    const int error = ::ioctl(tools.folder_fd, FIFREEZE, 0) == 0 ? 0 : errno;
    row.freeze_end_ns = os::boottime().count();
    row.freeze_errno = error;
    if (cannot_freeze(error)) {
        row.sync_errno = sync_filesystem(tools.folder_fd);
        row.writes_before = count_writes(tools.stat_fds);
        try_move(row, Step::entering, Step::unsupported);
    } else {
        try_move(row, Step::entering, error == 0 ? Step::frozen : Step::refused);
    }
}

void thaw(FreezeRow& row, const FreezerTools& tools) noexcept {
    if (row.step == Step::unsupported) row.writes_after = count_writes(tools.stat_fds);
    if (row.step != Step::frozen) return;
    row.thaw_begin_ns = os::boottime().count();
    const int error = thaw_once(tools.folder_fd);
    row.thaw_end_ns = os::boottime().count();
    if (error == 0) try_move(row, Step::frozen, Step::thawed);
    if (error == EINVAL) try_move(row, Step::frozen, Step::lost);
}

}  // namespace

int serve_freezer(FreezeTable& table, std::size_t index, const FreezerTools& tools) noexcept {
    FreezeRow& row = table.row(index);
    for (;;) {
        char order = 0;
        const ssize_t got = ::recv(tools.socket_fd, &order, 1, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return 0;  // the agent is gone; what is frozen is the rescuer's to thaw
        switch (static_cast<FreezerOrder>(order)) {
            case FreezerOrder::sync:
                sync(row, tools);
                break;
            case FreezerOrder::freeze:
                freeze(row, tools);
                break;
            case FreezerOrder::thaw:
                thaw(row, tools);
                break;
        }
        ::send(tools.socket_fd, &order, 1, MSG_NOSIGNAL);
    }
}

int thaw_once(int folder_fd) noexcept {
    return ::ioctl(folder_fd, FITHAW, 0) == 0 ? 0 : errno;
}

std::optional<std::int64_t> writes_in_stat(std::string_view line) noexcept {
    // Fields, from 1: 5 writes, 12 discards, 16 flushes (newer kernels); flushes change no data.
    constexpr int writes_field = 5;
    constexpr int discards_field = 12;
    std::int64_t sum = 0;
    int field = 0;
    while (!line.empty() && line.front() != '\n') {
        if (line.front() == ' ') {
            line.remove_prefix(1);
            continue;
        }
        std::int64_t value = 0;
        const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
        if (error != std::errc{}) return std::nullopt;
        line.remove_prefix(static_cast<std::size_t>(end - line.data()));
        ++field;
        if (field == writes_field || field == discards_field) sum += value;
    }
    return field >= writes_field ? std::optional{sum} : std::nullopt;
}

}  // namespace stillpoint::linux_guest
