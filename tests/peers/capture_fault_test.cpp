// What a reader meets: errors, stalls, a killed server, a cancel, a disk of 16 TiB.
#include <signal.h>

#include <atomic>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "capture/throttle.hpp"
#include "capture_support.hpp"

using namespace stillpoint;
using namespace stillpoint::test;

namespace {

const extents::ExtentSet first_64_mib{{ByteOffset{0}, ByteCount{64 * MiB}}};

struct Timed {
    Status status;
    env::Nanoseconds took;
};

Timed timed_read(capture::NbdSource& source, const extents::ExtentSet& what,
                 const capture::NbdSource::Sink& sink, const env::CancelToken& cancel = {}) {
    const env::Nanoseconds before = real_clock.monotonic();
    Status status = source.read(what, 2, sink, cancel);
    return {std::move(status), real_clock.monotonic() - before};
}

Status ignore(ByteOffset, ByteView) {
    return {};
}

// Calls `act` once, in the sink call that brings the total to `bytes`.
capture::NbdSource::Sink after(std::uint64_t bytes, std::function<void()> act) {
    auto seen = std::make_shared<std::atomic<std::uint64_t>>(0);
    return [=](ByteOffset, ByteView piece) -> Status {
        const std::uint64_t before = seen->fetch_add(piece.size());
        if (before < bytes && before + piece.size() >= bytes) act();
        return {};
    };
}

// Peak and present resident memory, from the kernel.
std::uint64_t memory_bytes(const std::string& key) {
    std::ifstream status{"/proc/self/status"};
    for (std::string line; std::getline(status, line);) {
        if (line.rfind(key, 0) == 0) return std::stoull(line.substr(key.size() + 1)) * KiB;
    }
    return 0;
}
std::uint64_t peak_growth(const std::function<void()>& work) {
    std::ofstream{"/proc/self/clear_refs"} << 5;  // the peak starts anew
    const std::uint64_t before = memory_bytes("VmRSS");
    work();
    const std::uint64_t peak = memory_bytes("VmHWM");
    return peak > before ? peak - before : 0;
}

}  // namespace

TEST_CASE("peers/capture: an error from the k-th request on names place and kind") {
    struct Case {
        const char* answered;
        const char* id;
        Errc code;
    };
    for (const Case& one : {Case{"EIO", "capture.read_failed", Errc::io},
                            Case{"EINVAL", "snapshot.broken", Errc::refused},
                            Case{"ESHUTDOWN", "snapshot.broken", Errc::refused}}) {
        CAPTURE(one.answered);
        const env::TemporaryFolder folder = scratch();
        const std::string trigger = folder.path() / "now";
        const NbdServer server = NbdServer::nbdkit(
            {"--filter=error", "pattern", "size=64M", "error-pread-rate=100%",
             std::string{"error-pread="} + one.answered, "error-file=" + trigger});
        const auto source = connect({server.socket(), "", ""});
        const Timed read = timed_read(*source, first_64_mib,
                                      after(8 * MiB, [&] { std::ofstream{trigger} << "x"; }));
        REQUIRE_FALSE(read.status);
        CHECK(read.status.error().id == one.id);
        CHECK(read.status.error().code == one.code);
        CHECK(read.status.error().text.find(" bytes at ") != std::string::npos);
        CHECK(read.took < 10s);
        // Nothing more is to be had from it.
        CHECK(source->read(first_64_mib, 1, ignore, {}).error().id == "capture.disconnected");
        CHECK(source->plan(chunk, {}, {}).error().id == "capture.disconnected");
    }
}

TEST_CASE("peers/capture: a snapshot that broke under the guest's writes is never read on") {
    const env::TemporaryFolder folder = scratch();
    const std::string disk = folder.path() / "disk";
    const std::string target = folder.path() / "target";
    run({"sh", "-c", "head -c 16777216 /dev/urandom > " + disk});
    run({"truncate", "-s", "16M", target});
    const Bytes frozen = env::read_file(disk, 16 * MiB).value();
    // Copy-before-write whose scratch takes no byte, as when it is full.
    const NbdServer server = NbdServer::storage_daemon(
        {"--blockdev", "driver=file,node-name=disk,filename=" + disk,  //
         "--blockdev", "driver=file,node-name=file,filename=" + target, "--blockdev",
         "driver=blkdebug,node-name=full,image=file,inject-error.0.event=none,"
         "inject-error.0.iotype=write,inject-error.0.errno=28",
         "--blockdev",
         "driver=copy-before-write,node-name=cbw,file=disk,target=full,on-cbw-error=break-snapshot",
         "--export", "nbd,id=guest,node-name=cbw,name=guest,writable=on",  //
         "--blockdev", "driver=snapshot-access,node-name=frozen,file=cbw", "--export",
         "nbd,id=frozen,node-name=frozen,name=frozen"});
    const auto source = connect({server.socket(), "frozen", ""});
    ModelDisk model{Bytes(16 * MiB)};
    copy_onto(model, *source);
    CHECK(model.bytes() == frozen);
    run({"qemu-io", "-f", "raw", "-c", "write -P 5 0 64k",
         "nbd+unix:///guest?socket=" + server.socket()});
    // Also where the guest wrote nothing, and for questions as for reads.
    const Status read = source->read({{ByteOffset{8 * MiB}, ByteCount{64 * KiB}}}, 1, ignore, {});
    CHECK(read.error().id == "snapshot.broken");
    CHECK(read.error().code == Errc::refused);
    const auto again = connect({server.socket(), "frozen", ""});
    CHECK(again->plan(chunk, {}, {}).error().id == "snapshot.broken");
}

TEST_CASE("peers/capture: allocation is a hint: without it everything is read") {
    const std::vector<std::string> always{"--filter=error", "memory", "4M",
                                          "error-extents-rate=100%"};
    auto io_error = always;
    io_error.push_back("error-extents=EIO");
    const NbdServer unknown = NbdServer::nbdkit(io_error);
    const auto source = connect({unknown.socket(), "", ""});
    CHECK(source->plan(chunk, {}, {}).value().read == extents::whole(ByteCount{4 * MiB}));
    CHECK(source->read(extents::whole(ByteCount{4 * MiB}), 1, ignore, {}));
    auto broken_error = always;
    broken_error.push_back("error-extents=EINVAL");  // what a broken snapshot answers to all
    const NbdServer broken = NbdServer::nbdkit(broken_error);
    CHECK(connect({broken.socket(), "", ""})->plan(chunk, {}, {}).error().id == "snapshot.broken");
}

TEST_CASE("peers/capture: a stall ends within the limit") {
    const NbdServer server =
        NbdServer::nbdkit({"--filter=delay", "memory", "64M", "delay-read=1000"});
    const auto source = connect({server.socket(), "", ""}, {.reply_timeout = 150ms});
    const Timed read = timed_read(*source, first_64_mib, ignore);
    CHECK(read.status.error().id == "capture.stalled");
    CHECK(read.status.error().code == Errc::timeout);
    CHECK(read.took >= 150ms);
    CHECK(read.took < 2s);
}

TEST_CASE("peers/capture: a stall of block status, and of the handshake") {
    const NbdServer status =
        NbdServer::nbdkit({"--filter=delay", "memory", "64M", "delay-extents=1000"});
    const auto source = connect({status.socket(), "", ""}, {.reply_timeout = 150ms});
    CHECK(source->plan(chunk, {}, {}).error().id == "capture.stalled");
    const NbdServer open =
        NbdServer::nbdkit({"--filter=delay", "memory", "64M", "delay-open=1000"});
    const auto late =
        capture::connect_nbd({open.socket(), "", ""}, {.reply_timeout = 150ms}, real_clock);
    CHECK(late.error().id == "capture.stalled");
    env::CancelToken cancel;
    cancel.cancel();
    const auto cancelled = capture::connect_nbd({open.socket(), "", ""}, {}, real_clock, cancel);
    CHECK(cancelled.error().code == Errc::cancelled);
}

TEST_CASE("peers/capture: a slow server is no stalled one") {
    // 8 requests of 256 KiB, one after the other, each slower than half the limit.
    const NbdServer server = NbdServer::nbdkit({"--filter=noparallel", "--filter=delay", "memory",
                                                "2M", "serialize=requests", "delay-read=100ms"});
    const auto source = connect({server.socket(), "", ""}, {.reply_timeout = 300ms});
    CHECK(source->read({{ByteOffset{0}, ByteCount{2 * MiB}}}, 2, ignore, {}));
}

TEST_CASE("peers/capture: cancel ends a read at once, also one that waits for a stalled server") {
    const NbdServer fast = NbdServer::nbdkit({"pattern", "size=1T"});
    {
        const auto source = connect({fast.socket(), "", ""});
        env::CancelToken cancel;
        env::Nanoseconds at{};
        const Timed read = timed_read(*source, extents::whole(ByteCount{1024 * 1024 * MiB}),
                                      after(32 * MiB,
                                            [&] {
                                                at = real_clock.monotonic();
                                                cancel.cancel();
                                            }),
                                      cancel);
        CHECK(read.status.error().code == Errc::cancelled);
        const auto latency = real_clock.monotonic() - at;
        CHECK(latency < 200ms);
        MESSAGE("cancel latency, busy: " << env::to_ms(latency) << " ms");
    }
    const env::TemporaryFolder folder = scratch();
    const std::string log = folder.path() / "log";
    const NbdServer stalled = NbdServer::nbdkit(
        {"--filter=log", "--filter=delay", "memory", "64M", "delay-read=1000", "logfile=" + log});
    const auto source = connect({stalled.socket(), "", ""});
    env::CancelToken cancel;
    env::Nanoseconds at{};
    std::jthread canceller{[&] {
        // Once the server has the request, there is nothing to be had but silence.
        const env::Deadline deadline{real_clock, 10s};
        std::string text;
        while (text.find("Read") == std::string::npos && !deadline.passed()) {
            std::ostringstream all;
            all << std::ifstream{log}.rdbuf();
            text = all.str();
            (void)env::pause(1ms, {});
        }
        at = real_clock.monotonic();
        cancel.cancel();
    }};
    const Timed read = timed_read(*source, first_64_mib, ignore, cancel);
    canceller.join();
    CHECK(read.status.error().code == Errc::cancelled);
    CHECK(real_clock.monotonic() - at < 200ms);
}

TEST_CASE("peers/capture: a server killed in the middle of a read") {
    const env::TemporaryFolder folder = scratch();
    const env::Path image = folder.path() / "disk";
    run({"qemu-img", "create", "-q", "-f", "raw", image, "1G"});
    const NbdServer server = NbdServer::qemu_nbd({"-r", "-f", "raw", "-e", "8", image});
    const auto source = connect({server.socket(), "", ""});
    const Timed read = timed_read(*source, extents::whole(ByteCount{1024 * MiB}),
                                  after(16 * MiB, [&] { server.kill(SIGKILL); }));
    CHECK(read.status.error().id == "capture.disconnected");
    CHECK(read.status.error().code == Errc::io);
    CHECK(read.took < 10s);
}

TEST_CASE("peers/capture: the sink's first error stops the read and is what is heard") {
    const NbdServer server = NbdServer::nbdkit({"pattern", "size=1T"});
    const auto source = connect({server.socket(), "", ""});
    std::atomic<int> calls{0};
    const Timed read = timed_read(*source, extents::whole(ByteCount{1024 * 1024 * MiB}),
                                  [&](ByteOffset, ByteView) -> Status {
                                      if (++calls < 20) return {};
                                      return fail(Errc::no_space, "test.full", "no room");
                                  });
    CHECK(read.status.error().id == "test.full");
    CHECK(calls < 20 + 2);  // what the two workers held; nothing queued is delivered after it
    CHECK(read.took < 5s);
}

TEST_CASE("peers/capture: requests ascend, are no larger and no more at once than asked for") {
    const env::TemporaryFolder folder = scratch();
    const std::string log = folder.path() / "log";
    {
        const NbdServer server =
            NbdServer::nbdkit({"--filter=log", "pattern", "size=8M", "logfile=" + log});
        const auto source =
            connect({server.socket(), "", ""},
                    {.connections = 1, .request_bytes = 128u << 10, .in_flight_max = 4});
        REQUIRE(source->read(
            {{ByteOffset{64 * KiB}, ByteCount{4 * MiB}}, {ByteOffset{6 * MiB}, ByteCount{1 * MiB}}},
            2, ignore, {}));
    }
    std::ifstream in{log};
    std::vector<std::pair<std::uint64_t, std::uint64_t>> requests;
    int in_flight = 0;
    for (std::string line; std::getline(in, line);) {
        const auto number = [&](const std::string& key) {
            return std::stoull(line.substr(line.find(key) + key.size()), nullptr, 16);
        };
        if (line.find(" Read id=") != std::string::npos) {
            requests.emplace_back(number("offset=0x"), number("count=0x"));
            CHECK(++in_flight <= 4);
        } else if (line.find("...Read id=") != std::string::npos) {
            --in_flight;
        }
    }
    CHECK(requests.size() == 32 + 8);
    for (const auto& [at, count] : requests) CHECK(count == 128 * KiB);
    std::sort(requests.begin(), requests.end());
    CHECK(requests.front().first == 64 * KiB);
    CHECK(requests.back().first == 7 * MiB - 128 * KiB);
}

TEST_CASE("peers/capture: a limit on bytes per second holds, over all disks together") {
    const NbdServer server = NbdServer::nbdkit({"memory", "64M"});
    for (const std::size_t disks : {1u, 3u}) {
        CAPTURE(disks);
        const auto throttle = std::make_shared<capture::Throttle>(
            real_clock, capture::Throttle::Limits{.bytes_per_second_max = 16 * MiB});
        std::vector<std::future<Timed>> reads;
        for (std::size_t n = 0; n < disks; ++n) {
            reads.push_back(std::async(std::launch::async, [&] {
                const auto source = connect({server.socket(), "", ""}, {.throttle = throttle});
                return timed_read(*source, {{ByteOffset{0}, ByteCount{6 * MiB / disks}}}, ignore);
            }));
        }
        env::Nanoseconds took{};
        for (auto& read : reads) {
            const Timed timed = read.get();
            CHECK(timed.status);
            took = std::max(took, timed.took);
        }
        // 24 requests; the first comes free, late wake-ups may be caught up with.
        CHECK(took > 375ms - 16ms - 50ms);
        CHECK(took < 2s);
    }
}

TEST_CASE("peers/capture: a limit on what is in flight holds, over all disks together") {
    const env::TemporaryFolder folder = scratch();
    const env::Path log = folder.path() / "log";
    const NbdServer server = NbdServer::nbdkit({"--filter=log", "--filter=delay", "memory", "64M",
                                                "rdelay=20ms", "logfile=" + log.string()});
    const auto throttle = std::make_shared<capture::Throttle>(
        real_clock, capture::Throttle::Limits{.read_ahead = ByteCount{1 * MiB}});
    {
        std::vector<std::future<Timed>> reads;
        for (std::size_t n = 0; n < 2; ++n) {
            reads.push_back(std::async(std::launch::async, [&] {
                const auto source = connect({server.socket(), "", ""}, {.throttle = throttle});
                return timed_read(*source, {{ByteOffset{0}, ByteCount{8 * MiB}}}, ignore);
            }));
        }
        for (auto& read : reads) CHECK(read.get().status);
    }
    std::ifstream lines{log};
    int in_flight = 0, most = 0, requests = 0;
    for (std::string line; std::getline(lines, line);) {
        if (line.find("Read id=") == std::string::npos) continue;
        const bool ends = line.find("...Read") != std::string::npos;
        in_flight += ends ? -1 : 1;
        requests += ends ? 0 : 1;
        most = std::max(most, in_flight);
    }
    CHECK(requests == 64);
    // Four for the first alone; two each once the second has come, and what was in flight ends.
    CHECK(most <= 6);
    CHECK(most >= 2);
}

TEST_CASE("peers/capture: memory is bounded on 16 TiB, whatever the server tells") {
    const ByteCount size{16 * 1024 * 1024 * MiB};
    const NbdServer sparse = NbdServer::nbdkit({"memory", "16T"});
    const std::uint64_t growth = peak_growth([&] {
        const auto source = connect({sparse.socket(), "", ""});
        const auto plan = source->plan(chunk, {}, {}).value();
        CHECK(plan.read.empty());
        CHECK(extents::total(plan.zeros) == size);
        // A sink far slower than the server must not pile up what was read.
        REQUIRE(source->read({{ByteOffset{8 * 1024 * 1024 * MiB}, ByteCount{512 * MiB}}}, 2, ignore,
                             {}));
    });
    CHECK(growth < 24 * MiB);
    MESSAGE("peak growth, 16 TiB sparse: " << growth / KiB << " KiB");
}

TEST_CASE("peers/capture: a dirty bitmap of 16 TiB is planned in moments") {
    const env::TemporaryFolder folder = scratch();
    const env::Path image = folder.path() / "disk";
    run({"qemu-img", "create", "-q", "-f", "qcow2", image, "16T"});
    run({"qemu-img", "bitmap", "--add", image, "b0"});
    std::vector<std::string> writes{"qemu-io", "-f", "qcow2"};
    for (int n = 0; n < 100; ++n) {
        writes.push_back("-c");
        writes.push_back("write -P 7 " + std::to_string(n * 160 + 3) + "G 64k");
    }
    writes.push_back(image);
    run(writes);
    const NbdServer server =
        NbdServer::qemu_nbd({"-r", "-f", "qcow2", "-e", "8", "-B", "b0", image});
    const auto source = connect({server.socket(), "", "qemu:dirty-bitmap:b0"});
    const env::Nanoseconds before = real_clock.monotonic();
    const auto plan = source->plan(chunk, source->size(), {}).value();
    const env::Nanoseconds took = real_clock.monotonic() - before;
    CHECK(plan.read.size() == 100);
    CHECK(plan.read_bytes() == ByteCount{100 * 64 * KiB});
    CHECK(took < 10s);
    MESSAGE("plan of 16 TiB with 100 dirty chunks: " << env::to_ms(took) << " ms");
}
