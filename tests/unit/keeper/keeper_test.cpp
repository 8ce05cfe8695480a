// Real processes: this test tells an owner what to do, the owner has a keeper.
// Build with -DPROBE_KEEPER="path" -DPROBE_OWNER="path".
#include "keeper/keeper.hpp"

#include <doctest/doctest.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <thread>

#include "env/poll.hpp"
#include "env/process.hpp"
#include "env/unix_socket.hpp"
#include "keeper/line_reader.hpp"

using namespace stillpoint;
using namespace stillpoint::keeper;
using namespace std::chrono_literals;
using serialization::Map;
using serialization::Value;

namespace {

const env::SystemClock real_clock;
constexpr std::int64_t hour_ms = 3'600'000;

env::Deadline in(env::Nanoseconds budget) {
    return {real_clock, budget};
}

// A hundred times as fast as others.
class HurriedClock final : public env::Clock {
public:
    [[nodiscard]] env::Nanoseconds monotonic() const override {
        return 100 * real_clock.monotonic();
    }
    [[nodiscard]] env::Nanoseconds wall() const override { return real_clock.wall(); }
};

struct World {
    env::TemporaryFolder folder =
        env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-keeper-").value();
    env::Path job = folder.path() / "job";
    env::Path marker = folder.path() / "cleaned";

    World() {
        REQUIRE(env::make_folders(job, 0711));
        REQUIRE(env::write_durably(job / "scratch", as_bytes("x"), 0600, job));
    }
    [[nodiscard]] Map document(std::int64_t stall_ms) const {
        return {{"driver", "probe"},
                {"job_folder", job.string()},
                {"marker", marker.string()},
                {"say", "cleaned"},
                {"stall_ms", stall_ms}};
    }
    [[nodiscard]] std::string cleaned() const {
        const auto text = env::read_file(marker, 4096);
        return text ? std::string{as_text(*text)} : "";
    }
};

// Lines to and from another process.
class Talk {
public:
    explicit Talk(env::UniqueFd fd)
        : socket_(env::UnixSocket::adopt(std::move(fd), "other process").value()) {}
    void say(const std::string& line) {
        REQUIRE(socket_.write_all(as_bytes(line + "\n"), in(10s), {}));
    }
    std::string hear() {
        std::array<std::byte, 4096> bytes{};
        while (true) {
            if (auto line = lines_.next()) return *line;
            const auto count = socket_.read_some(bytes, in(20s), {});
            if (!count) return count.error().id;
            REQUIRE(lines_.feed(ByteView{bytes}.first(*count)));
        }
    }
    void close() { (void)socket_.release(); }

private:
    env::UnixSocket socket_;
    LineReader lines_;
};

struct Started {
    env::Child child;
    Talk talk;
};

Started start(const std::string& program, const std::string& before_fd) {
    env::SocketPair pair = env::make_socket_pair().value();
    env::SpawnOptions options;
    options.arguments = {program, before_fd, std::to_string(pair.theirs.get())};
    options.inherit_fd = pair.theirs.get();
    return {env::Child::spawn(options).value(), Talk{std::move(pair.ours)}};
}

// An owner whose keeper watches; `keeper` is held so that its end can be awaited.
struct Owner {
    Started process;
    env::ProcessWatch keeper;

    static Owner start(const Value& document) {
        Started process = ::start(PROBE_OWNER, PROBE_KEEPER);
        process.talk.say(serialization::to_json(document));
        const std::string ready = process.talk.hear();
        REQUIRE(ready.substr(0, 6) == "ready ");
        const pid_t pid = std::stoi(ready.substr(6));
        return {std::move(process), env::ProcessWatch::open(pid).value()};
    }
};

}  // namespace

TEST_CASE("keeper: kill -9 of the owner is cleaned up at once, and the job folder goes") {
    const World world;
    Owner owner = Owner::start(world.document(hour_ms));
    CHECK(std::filesystem::exists(world.job / "keeper.log"));
    CHECK(world.cleaned().empty());
    owner.process.child.kill(SIGKILL);
    REQUIRE(owner.keeper.ended(in(10s)));
    CHECK(world.cleaned() == "cleaned\n");
    CHECK_FALSE(std::filesystem::exists(world.job));
}

TEST_CASE("keeper: the job folder is made by who removes it, so that no moment leaves one") {
    const World world;
    std::filesystem::remove_all(world.job);
    Owner owner = Owner::start(world.document(hour_ms));
    CHECK(std::filesystem::exists(world.job / "keeper.log"));
    owner.process.child.kill(SIGKILL);
    REQUIRE(owner.keeper.ended(in(10s)));
    CHECK(world.cleaned() == "cleaned\n");
    CHECK_FALSE(std::filesystem::exists(world.job));
}

TEST_CASE("keeper: the owner's death counts although somebody holds its end of the pipe") {
    const World world;
    Owner owner = Owner::start(world.document(hour_ms));
    owner.process.talk.say("leak");
    REQUIRE(owner.process.talk.hear() == "leaked");
    owner.process.child.kill(SIGKILL);
    REQUIRE(owner.keeper.ended(in(10s)));
    CHECK(world.cleaned() == "cleaned\n");
}

TEST_CASE("keeper: a beating owner lives on; stopped, it is killed and cleaned up after") {
    const World world;
    Owner owner = Owner::start(world.document(700));
    owner.process.talk.say("beat");
    const env::Deadline two_stalls = in(1500ms);
    while (!two_stalls.passed()) REQUIRE(owner.process.talk.hear() == "beat");
    CHECK(world.cleaned().empty());
    owner.process.child.kill(SIGSTOP);
    CHECK(owner.process.child.wait(in(10s)).value() == 128 + SIGKILL);
    REQUIRE(owner.keeper.ended(in(10s)));
    CHECK(world.cleaned() == "cleaned\n");
    CHECK_FALSE(std::filesystem::exists(world.job));
}

TEST_CASE("keeper: an owner that sleeps and says nothing is killed") {
    const World world;
    Owner owner = Owner::start(world.document(700));
    CHECK(owner.process.child.wait(in(10s)).value() == 128 + SIGKILL);
    REQUIRE(owner.keeper.ended(in(10s)));
    CHECK(world.cleaned() == "cleaned\n");
}

TEST_CASE("keeper: an owner that gets no processor is waited for, and not killed") {
    const World world;
    Owner owner = Owner::start(world.document(3000));
    owner.process.talk.say("starve");
    REQUIRE(owner.process.talk.hear() == "beat");
    {
        std::vector<env::Child> others;  // on the one processor that the owner may use
        for (int i = 0; i < 2; ++i) {
            env::SpawnOptions busy;
            busy.arguments = {"taskset", "-c", "0", "sh", "-c", "while :; do :; done"};
            others.push_back(env::Child::spawn(busy).value());
        }
        const env::Deadline soon = in(60s);
        std::string log;
        while (log.find("for want of a processor") == std::string::npos) {
            REQUIRE_FALSE(soon.passed());
            REQUIRE(env::pause(20ms, {}));
            log = as_text(env::read_file(world.job / "keeper.log", 1u << 20).value());
        }
        CHECK(log.find("killed") == std::string::npos);
    }
    for (int i = 0; i < 20; ++i) REQUIRE(owner.process.talk.hear() == "beat");
    CHECK(world.cleaned().empty());
    owner.process.child.kill(SIGKILL);
    REQUIRE(owner.keeper.ended(in(10s)));
}

TEST_CASE("keeper: until the first beat the thread that asked for the watch is looked at") {
    const World world;
    Map document = world.document(700);
    document["from_busy_thread"] = true;
    Owner owner = Owner::start(document);
    const env::Deadline soon = in(60s);
    std::string log;
    while (log.find("owner") == std::string::npos) {
        REQUIRE_FALSE(soon.passed());
        REQUIRE(env::pause(20ms, {}));
        log = as_text(env::read_file(world.job / "keeper.log", 1u << 20).value_or(Bytes{}));
    }
    CHECK(log.find("for want of a processor") != std::string::npos);
    CHECK(world.cleaned().empty());
    owner.process.child.kill(SIGKILL);
    REQUIRE(owner.keeper.ended(in(10s)));
}

TEST_CASE("keeper: an owner that is done is left alone") {
    const World world;
    Owner owner = Owner::start(world.document(hour_ms));
    owner.process.talk.say("done");
    CHECK(owner.process.talk.hear() == "done");
    CHECK(owner.keeper.ended(in(10s)));
    CHECK(world.cleaned().empty());
    CHECK(std::filesystem::exists(world.job / "scratch"));
}

TEST_CASE("keeper: signals to the whole job do not end it") {
    const World world;
    Owner owner = Owner::start(world.document(hour_ms));
    for (const int signal : {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGPIPE}) owner.keeper.kill(signal);
    owner.process.child.kill(SIGKILL);
    REQUIRE(owner.keeper.ended(in(10s)));
    CHECK(world.cleaned() == "cleaned\n");
}

TEST_CASE("keeper: a failed clean-up is tried again") {
    const World world;
    Map document = world.document(hour_ms);
    document["fail_first"] = 3;
    Owner owner = Owner::start(document);
    owner.process.child.kill(SIGKILL);
    REQUIRE(owner.keeper.ended(in(10s)));
    CHECK(world.cleaned() == "cleaned\ncleaned\ncleaned\ncleaned\n");
    CHECK_FALSE(std::filesystem::exists(world.job));
}

TEST_CASE("keeper: the newest document counts; the pipe's end cleans up without killing") {
    const World world;
    {
        const auto handle = spawn_keeper(PROBE_KEEPER, real_clock).value();
        REQUIRE(handle->watch(world.document(hour_ms)));
        Map newer = world.document(hour_ms);
        newer["say"] = "newer";
        REQUIRE(handle->watch(newer));
        CHECK(handle->hand_over() == Farewell::cleaned_up);
    }
    CHECK(world.cleaned() == "newer\n");
    CHECK_FALSE(std::filesystem::exists(world.job));
}

TEST_CASE("keeper: new bitmaps are its business until the owner is about to publish") {
    for (const bool publishing : {false, true}) {
        const World world;
        Map document = world.document(hour_ms);
        document[undecided] = true;
        {
            const auto handle = spawn_keeper(PROBE_KEEPER, real_clock).value();
            REQUIRE(handle->watch(document));
            if (publishing) REQUIRE(handle->publishing());
            REQUIRE(handle->beat());
            CHECK(handle->hand_over() == Farewell::cleaned_up);
        }
        CHECK(world.cleaned() == (publishing ? "cleaned\n" : "cleaned, undecided\n"));
    }
}

TEST_CASE("keeper: without a watch the owner's end means nothing") {
    const World world;
    const auto handle = spawn_keeper(PROBE_KEEPER, real_clock).value();
    REQUIRE(handle->beat());
    REQUIRE(handle->done());
    CHECK(handle->beat());  // a heart that beats once more is not told of a death
    CHECK(world.cleaned().empty());
}

TEST_CASE("keeper: garbage on the pipe ends the watch as the owner's death would") {
    const std::string endless(line_bytes_max + 8192, 'x');
    for (const std::string& garbage :
         {std::string{"\x01\xff{{{"}, std::string{"[1]"}, std::string{"{\"watch\": 7}"}, endless}) {
        CAPTURE(garbage.size());
        const World world;
        Started keeper = start(PROBE_KEEPER, "--pipe");
        keeper.talk.say(serialization::to_json(Map{{"watch", world.document(hour_ms)}}));
        REQUIRE(keeper.talk.hear() == "{\"watching\":true}");
        keeper.talk.say(garbage);
        CHECK(keeper.child.wait(in(10s)).value() == 0);
        CHECK(world.cleaned() == "cleaned\n");
        CHECK(keeper.talk.hear() == "socket.closed");
    }
}

TEST_CASE("keeper: what takes longer than promised goes on, but not beside a newer backup") {
    const World world;
    const env::Path lock = world.folder.path() / "vm.lock";
    const HurriedClock clock;
    auto newer = std::make_unique<env::FileLock>(env::FileLock::take(lock).value());
    std::atomic<bool> newer_runs = true;
    int early = 0;
    std::string late;
    const CleanUp clean_up = [&](const Value&, const env::Deadline& deadline) -> Status {
        if (deadline.left() <= clean_up_budget) {
            ++early;
            return fail(Errc::io, "probe.failed", "nobody answers");
        }
        late += newer_runs ? "beside a newer backup " : "";
        late += env::FileLock::take(lock) ? "unlocked" : "alone";
        return {};
    };
    env::SocketPair pair = env::make_socket_pair().value();
    Talk owner{std::move(pair.ours)};
    owner.say(serialization::to_json(Map{{"watch", Map{{"vm_lock", lock.string()}}}}));
    int exit_code = -1;
    std::thread keeper{
        [&, fd = pair.theirs.release()] { exit_code = run_keeper(fd, clean_up, clock); }};
    REQUIRE(owner.hear() == "{\"watching\":true}");
    owner.close();
    const env::Deadline late_by_far{clock, 3min};
    while (!late_by_far.passed()) REQUIRE(env::pause(20ms, {}));
    newer_runs = false;
    newer.reset();
    keeper.join();
    CHECK(exit_code == 0);
    CHECK(early > 0);
    CHECK(late == "alone");
}

TEST_CASE(
    "keeper: where cleaning up fails to the end, folder and log stay and the exit code says so") {
    const World world;
    Started keeper = start(PROBE_KEEPER, "--pipe");
    Map document = world.document(hour_ms);
    document["fail_first"] = 1'000'000;
    document["patience_ms"] = 700;
    keeper.talk.say(serialization::to_json(Map{{"watch", document}}));
    REQUIRE(keeper.talk.hear() == "{\"watching\":true}");
    keeper.talk.close();
    CHECK(keeper.child.wait(in(10s)).value() == 1);
    const Bytes log = env::read_file(world.job / "keeper.log", 1u << 20).value();
    CHECK(as_text(log).find("told to fail") != std::string_view::npos);
    CHECK(std::filesystem::exists(world.job / "scratch"));
}

TEST_CASE("keeper: its death is noticed by the next beat and by watch and done") {
    const World world;
    const auto handle = spawn_keeper(PROBE_KEEPER, real_clock).value();
    REQUIRE(handle->watch(world.document(hour_ms)));
    REQUIRE(handle->beat());
    const env::ProcessWatch keeper = env::ProcessWatch::open(handle->pid()).value();
    keeper.kill(SIGKILL);
    REQUIRE(keeper.ended(in(10s)));
    CHECK(handle->beat().error().id == "keeper.dead");
    CHECK(handle->watch(world.document(hour_ms)).error().id == "keeper.dead");
    CHECK(handle->publishing().error().id == "keeper.dead");
    CHECK(handle->done().error().id == "keeper.dead");
}

TEST_CASE("keeper: a program that is none, or does not exist, is found out before any job") {
    CHECK(spawn_keeper("/no/such/keeper", real_clock).error().code == Errc::not_found);
    const auto handle = spawn_keeper("/bin/true", real_clock).value();
    CHECK(handle->watch(Map{}).error().id == "keeper.dead");
}
