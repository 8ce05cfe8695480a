#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "support.hpp"

using namespace stillpoint;
using namespace stillpoint::linux_guest;
using namespace stillpoint::test;
using namespace std::chrono_literals;

namespace {

constexpr std::array<std::string_view, 4> victims{"agent", "sp-watchdog", "sp-rescuer",
                                                  "sp-freezer"};
constexpr Nanoseconds hold = 2s;
constexpr Nanoseconds cycle = 120ms;  // roughly from the start of a run to the end of its thaw

bool long_form() {
    const char* length = std::getenv("STILLPOINT_TEST_LENGTH");
    return length != nullptr && std::string_view(length) == "long";
}

/// An agent that freezes and thaws again and again, whatever happens, until its line ends.
class Cycling {
public:
    explicit Cycling(const fs::path& folder) : plan_(plan_below(folder)) {
        os::FdPair line = os::make_pipe().value();
        pid_ = ::fork();
        if (pid_ == 0) {
            line.second.reset();
            while (!readable(line.first.get())) once();
            ::_exit(0);
        }
        line_ = std::move(line.second);
    }
    Cycling(const Cycling&) = delete;
    Cycling& operator=(const Cycling&) = delete;
    ~Cycling() {
        line_.reset();
        // A freeze that nobody ends keeps it in the kernel: that is a failure, not a reason to
        // wait.
        if (eventually(60s, [&] { return ::waitpid(pid_, nullptr, WNOHANG) != 0; })) return;
        FAIL_CHECK("the agent does not come to an end");
        ::kill(pid_, SIGKILL);
    }
    /// @return whether somebody was there to be killed
    bool kill(std::string_view victim) const {
        if (victim == "agent") return ::kill(pid_, SIGKILL) == 0;
        return eventually(1s, [&] {
            const auto found = processes_named(std::string(victim), pid_);
            return !found.empty() && ::kill(found.front(), SIGKILL) == 0;
        });
    }
    void end() { line_.reset(); }

private:
    static bool readable(int fd) {
        pollfd line{fd, POLLIN, 0};
        return ::poll(&line, 1, 0) > 0;
    }
    void once() const {
        os::PlainWaiter waiter;
        auto run = FreezeRun::start(FreezePlan{plan_}, waiter);
        if (!run || !run->sync(os::boottime() + 10s, waiter)) return;
        if (run->freeze({.freeze = 1s, .hold = hold}, waiter)) {
            const Nanoseconds until = os::boottime() + 10ms;
            while (os::boottime() < until && run->tend()) ::poll(nullptr, 0, 2);
        }
        run->thaw(waiter);
    }

    FreezePlan plan_;
    pid_t pid_ = -1;
    os::UniqueFd line_;
};

}  // namespace

TEST_CASE("guest-freeze: kill -9 of any process at any point leaves nothing frozen") {
    const TempFolder folder;
    const LoopFs one{folder.path(), "one", "ext4"};
    const LoopFs two{folder.path(), "two", "xfs"};
    const int points = long_form() ? 150 : 8;
    int tried = 0;
    int killed = 0;
    int frozen = 0;
    for (int point = 0; point < points; ++point) {
        for (const std::string_view victim : victims) {
            Cycling agent{folder.path()};
            const Nanoseconds delay = cycle * point / points;
            ::poll(nullptr, 0, os::poll_ms(Nanoseconds{0}, delay));
            ++tried;
            killed += agent.kill(victim) ? 1 : 0;
            const Writer first{one.point()};
            const Writer second{two.point()};
            agent.end();
            if (!first.done_within(hold + slack)) ++frozen;
            if (!second.done_within(hold + slack)) ++frozen;
        }
    }
    // Nobody is there any more: whoever had frozen something has to have thawed it.
    CHECK(eventually(slack, [] {
        os::reap_finished();
        return processes_named("sp-rescuer", ::getpid()).empty();
    }));
    for (const LoopFs* filesystem : {&one, &two}) {
        CHECK(filesystem->foreign_freeze() == 0);
        CHECK(filesystem->foreign_thaw() == 0);
    }
    MESSAGE("figure kill_matrix_native tried=" << tried << " killed=" << killed
                                               << " left_frozen=" << frozen);
    CHECK(frozen == 0);
    CHECK(killed > tried / 2);
}
