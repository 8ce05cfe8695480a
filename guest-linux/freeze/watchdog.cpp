#include "freeze/watchdog.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "freeze/freezer.hpp"
#include "os/fd.hpp"
#include "os/process.hpp"

namespace stillpoint::linux_guest {
namespace {

using os::Nanoseconds;
using os::UniqueFd;

constexpr Nanoseconds retry_every = std::chrono::milliseconds{50};
constexpr Nanoseconds retry_slowly_after = std::chrono::seconds{10};
constexpr Nanoseconds retry_slowly_every = std::chrono::milliseconds{500};

/// Waits for the freezer's death at most `span`; a negative descriptor: for nothing else.
/// @return true: it is dead
bool pause(int alive_fd, Nanoseconds span) noexcept {
    pollfd life{alive_fd, POLLIN, 0};
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
    return ::poll(&life, 1, static_cast<int>(ms)) > 0;
}

/// Makes sure that one filesystem is not frozen by us, however long its freezer takes to die or to
/// return: a killed FIFREEZE may still complete once what it waits for goes away, and leave a
/// frozen filesystem without an owner. That is why this loop has no deadline; it ends with the
/// freezer.
void rescue(FreezeRow& row, int folder_fd, int alive_fd) noexcept {
    if (try_move(row, Step::idle, Step::revoked)) return;
    const Nanoseconds begin = os::boottime();
    for (;;) {
        // Asked in this order: a freezer found dead has done all that it will ever do.
        const bool dead = pause(alive_fd, Nanoseconds::zero());
        const Step step = row.step;
        if (settled(step)) return;
        const int error = thaw_once(folder_fd);
        const bool thawed = error == 0 || error == EINVAL;
        if (thawed && (dead || step == Step::frozen)) {
            row.thaw_end_ns = os::boottime().count();
            if (try_move(row, step, Step::rescued)) return;
        }
        const bool slowly = os::boottime() - begin > retry_slowly_after;
        pause(dead ? -1 : alive_fd, slowly ? retry_slowly_every : retry_every);
    }
}

/// A rescuer stands by until its pipe ends: by the watchdog's order or by its death.
int serve_rescuer(FreezeTable& table, std::size_t index, int folder_fd, int alive_fd,
                  int standby_fd) noexcept {
    char none = 0;
    while (::read(standby_fd, &none, 1) < 0 && errno == EINTR) {
    }
    if (!table.armed()) return 0;
    Trigger unset = Trigger::none;
    table.trigger().compare_exchange_strong(unset, Trigger::watchdog_gone);
    rescue(table.row(index), folder_fd, alive_fd);
    return 0;
}

class Watchdog {
public:
    Watchdog(FreezeTable& table, const WatchdogTools& tools) : table_(table), tools_(tools) {}

    int run() noexcept {
        ::setsid();
        os::harden(os::Memory::locked);
        const sched_param priority{.sched_priority = 1};
        ::sched_setscheduler(0, SCHED_FIFO, &priority);  // a precaution; may be forbidden
        if (!start_timer() || !start_rescuers()) return 1;
        tell(WatchdogNews::ready);
        const Trigger trigger = watch();
        if (table_.armed()) {
            Trigger unset = Trigger::none;
            table_.trigger().compare_exchange_strong(unset, trigger);
            standby_.reset();
            tell(WatchdogNews::fired);
            log(trigger);
        }
        // Lets the rescuers go, and every filesystem: one whose freeze is stuck keeps its rescuer
        // alone, and the others can be unmounted.
        const std::array keep{tools_.lock_fd};
        os::close_all_except(keep);
        return wait_for_rescuers();
    }

private:
    bool start_timer() noexcept {
        // Kernels before 3.15 have no timer that counts through suspend; there the poll below
        // looks at the boot clock once a second instead.
        timer_ = UniqueFd{::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC)};
        timer_counts_suspend_ = timer_.valid();
        if (!timer_.valid()) timer_ = UniqueFd{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)};
        return timer_.valid();
    }

    bool start_rescuers() noexcept {
        auto standby = os::make_pipe();
        if (!standby) return false;
        const auto memory =
            table_.size() <= locked_processes_max ? os::Memory::locked : os::Memory::as_it_is;
        for (std::size_t i = 0; i < table_.size(); ++i) {
            const std::array keep{tools_.folder_fds[i], tools_.alive_fds[i], standby->first.get(),
                                  tools_.lock_fd};
            auto rescuer = os::fork_child("sp-rescuer", keep, [&] {
                os::harden(memory);
                return serve_rescuer(table_, i, keep[0], keep[1], keep[2]);
            });
            if (!rescuer) return false;
            rescuer->release();
        }
        standby_ = std::move(standby->second);
        return true;
    }

    /// @return why to act; without meaning when the table is not armed (then: the agent is done)
    Trigger watch() noexcept {
        for (;;) {
            std::array<pollfd, 2> watched{
                {{tools_.socket_fd, POLLIN, 0}, {timer_.get(), POLLIN, 0}}};
            const int timeout_ms = armed_ && !timer_counts_suspend_ ? 1000 : -1;
            const int ready = ::poll(watched.data(), watched.size(), timeout_ms);
            if (ready < 0 && errno != EINTR) return Trigger::abort;
            if (armed_ && os::boottime() >= deadline_) return Trigger::deadline;
            if (ready > 0 && watched[0].revents != 0) {
                if (const Trigger trigger = take_order(); trigger != Trigger::none) return trigger;
            }
            if (armed_ && os::boottime() >= beat_due_) return Trigger::heartbeat;
        }
    }

    Trigger take_order() noexcept {
        WatchdogOrder order;
        const ssize_t got = ::recv(tools_.socket_fd, &order, sizeof order, MSG_DONTWAIT);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) return Trigger::none;
        if (got != static_cast<ssize_t>(sizeof order)) return Trigger::agent_gone;
        if (order.kind == WatchdogOrder::Kind::abort) return Trigger::abort;
        beat_due_ = os::boottime() + heartbeats_missed_max * heartbeat_every;
        if (order.kind == WatchdogOrder::Kind::arm) {
            deadline_ = Nanoseconds{order.deadline_ns};
            armed_ = true;
            table_.armed() = true;
        }
        set_timer();
        if (order.kind == WatchdogOrder::Kind::arm) tell(WatchdogNews::armed);
        return Trigger::none;
    }

    void set_timer() noexcept {
        const Nanoseconds left =
            std::max<Nanoseconds>(std::min(deadline_, beat_due_) - os::boottime(), Nanoseconds{1});
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
        itimerspec when{};
        when.it_value.tv_sec = seconds.count();
        when.it_value.tv_nsec = (left - seconds).count();
        ::timerfd_settime(timer_.get(), 0, &when, nullptr);
    }

    void tell(WatchdogNews news) noexcept {
        const char byte = static_cast<char>(news);
        ::send(tools_.socket_fd, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }

    void log(Trigger trigger) noexcept {
        std::array<char, 128> line{};
        std::strncpy(line.data(), "stillpoint-guest: watchdog thaws: ", line.size() - 1);
        std::strncat(line.data(), text_of(trigger), line.size() - std::strlen(line.data()) - 2);
        line[std::strlen(line.data())] = '\n';
        [[maybe_unused]] const ssize_t done =
            ::write(tools_.log_fd, line.data(), std::strlen(line.data()));
    }

    static int wait_for_rescuers() noexcept {
        while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
        }
        return 0;
    }

    FreezeTable& table_;
    const WatchdogTools& tools_;
    UniqueFd timer_;
    UniqueFd standby_;
    bool timer_counts_suspend_ = false;
    bool armed_ = false;
    Nanoseconds deadline_{};
    Nanoseconds beat_due_{};
};

}  // namespace

int serve_watchdog(FreezeTable& table, const WatchdogTools& tools) noexcept {
    return Watchdog{table, tools}.run();
}

}  // namespace stillpoint::linux_guest
