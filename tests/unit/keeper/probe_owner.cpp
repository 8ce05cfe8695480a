// An owner of a keeper, told over a descriptor what to do:
//     probe_owner KEEPER FD     first line: the document to watch; answers "ready PID". With
//                               "from_busy_thread" in it, a thread asks that works on for ever
//     done    ends the keeper, answers "done"
//     leak    forks a child that keeps every descriptor open; answers "leaked"
//     beat    beats from now on, answering "beat" each time
//     starve  likewise, but works a while before each beat, behind everybody else on processor 0
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <future>
#include <thread>

#include "env/poll.hpp"
#include "env/unix_socket.hpp"
#include "keeper/keeper.hpp"
#include "keeper/line_reader.hpp"

using namespace stillpoint;
using namespace std::chrono_literals;

namespace {

const env::SystemClock real_clock;

class Control {
public:
    explicit Control(int fd)
        : socket_(env::UnixSocket::adopt(env::UniqueFd{fd}, "control").value()) {}
    // @return empty when the test is gone or nothing came in time
    std::string line(env::Nanoseconds budget) {
        const env::Deadline deadline{real_clock, budget};
        std::array<std::byte, 4096> bytes{};
        while (true) {
            if (auto next = lines_.next()) return *next;
            const auto count = socket_.read_some(bytes, deadline, {});
            if (!count) {
                gone_ = count.error().code != Errc::timeout;
                return {};
            }
            if (!lines_.feed(ByteView{bytes}.first(*count))) return {};
        }
    }
    void say(const std::string& text) {
        gone_ = !socket_.write_all(as_bytes(text + "\n"), env::Deadline{real_clock, 10s}, {});
    }
    [[nodiscard]] bool gone() const { return gone_; }

private:
    env::UnixSocket socket_;
    keeper::LineReader lines_;
    bool gone_ = false;
};

void beat_for_ever(keeper::KeeperHandle& keeper, Control& control) {
    while (!control.gone() && keeper.beat()) {
        control.say("beat");
        (void)control.line(50ms);
    }
}

// @param busy the thread that works on, where the document asks for one
Status watch(keeper::KeeperHandle& keeper, const serialization::Value& document,
             std::thread& busy) {
    if (!document.boolean_or("from_busy_thread", false)) return keeper.watch(document);
    std::promise<Status> promised;
    auto watching = promised.get_future();
    busy = std::thread{[&keeper, &document, told = std::move(promised)]() mutable {
        told.set_value(keeper.watch(document));
        for (volatile bool works = true; works;) {
        }
    }};
    return watching.get();
}

// Whoever else wants that processor gets nearly all of it.
void stand_behind() {
    cpu_set_t first{};
    CPU_SET(0, &first);
    const sched_param none{};
    if (::sched_setaffinity(0, sizeof first, &first) != 0) std::abort();
    if (::sched_setscheduler(0, SCHED_IDLE, &none) != 0) std::abort();
}

void starve(keeper::KeeperHandle& keeper, Control& control) {
    stand_behind();
    const auto worked = [] {
        timespec now{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec};
    };
    while (!control.gone() && keeper.beat()) {
        control.say("beat");
        for (const auto until = worked() + 20ms; worked() < until;) {
        }
    }
}

}  // namespace

int main(int /*argc*/, char** argv) {
    Control control{std::atoi(argv[2])};
    const auto document = serialization::parse_json(control.line(10s));
    auto keeper = keeper::spawn_keeper(argv[1], real_clock);
    std::thread busy;  // ends with the process
    if (!document || !keeper || !watch(**keeper, *document, busy)) return 1;
    control.say("ready " + std::to_string((*keeper)->pid()));
    while (!control.gone()) {
        const std::string command = control.line(60s);
        if (command == "beat") beat_for_ever(**keeper, control);
        if (command == "starve") starve(**keeper, control);
        if (command == "done") control.say((*keeper)->done() ? "done" : "failed");
        if (command == "leak" && ::fork() != 0) control.say("leaked");
    }
    ::_exit(0);  // nothing of the handle's destructor
}
