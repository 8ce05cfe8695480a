// What we read equals what qemu-img reads: data, zeros, holes, bitmaps, growth, odd sizes.
#include <random>

#include "capture_support.hpp"

using namespace stillpoint;
using namespace stillpoint::test;

namespace {

// A random history of writes, zeroes and discards on [0, size), in qemu-io's words.
std::vector<std::string> history(std::mt19937& random, std::uint64_t size, int steps) {
    std::vector<std::string> arguments{"qemu-io", "-d", "unmap", "-f", "qcow2"};
    for (int n = 0; n < steps; ++n) {
        const std::uint64_t unit = random() % 3 == 0 ? 512 : 4 * KiB;
        const std::uint64_t at = random() % (size / unit) * unit;
        const std::uint64_t most = std::min<std::uint64_t>(size - at, 300 * KiB) / unit;
        const std::uint64_t length = std::max<std::uint64_t>(random() % (most + 1), 1) * unit;
        const std::string where = std::to_string(at) + " " + std::to_string(length);
        const std::string verbs[] = {"write -P " + std::to_string(random() % 255 + 1) + " ",
                                     "write -z ", "write -z -u ", "discard ", "write -P 0 "};
        arguments.push_back("-c");
        arguments.push_back(verbs[random() % std::size(verbs)] + where);
    }
    return arguments;
}

void change(const env::Path& image, std::mt19937& random, std::uint64_t size, int steps) {
    auto arguments = history(random, size, steps);
    arguments.push_back(image);
    run(arguments);
}

}  // namespace

TEST_CASE("peers/capture: a whole qcow2 disk equals qemu-img convert, its zeros are not read") {
    const env::TemporaryFolder folder = scratch();
    const env::Path image = folder.path() / "disk";
    constexpr std::uint64_t size = 48 * MiB + 4 * KiB;  // the last chunk is a short one
    run({"qemu-img", "create", "-q", "-f", "qcow2", image, std::to_string(size)});
    std::mt19937 random{1};
    change(image, random, size, 150);

    const NbdServer server = NbdServer::qemu_nbd({"-r", "-f", "qcow2", "-e", "8", image});
    const auto source = connect({server.socket(), "", ""});
    CHECK(source->size() == ByteCount{size});
    ModelDisk model{Bytes(size, std::byte{0xee})};
    const auto plan = copy_onto(model, *source);
    CHECK(model.bytes() == raw_of(image));
    CHECK(model.delivered() == plan.read_bytes().raw());
    CHECK(plan.read_bytes().raw() < size / 2);
    CHECK(plan.read_bytes().raw() + extents::total(plan.zeros).raw() == size);
    // Once more over the same connections, as a sample read would.
    ModelDisk again{Bytes(size)};
    REQUIRE(source->read(extents::whole(ByteCount{size}), 3, again.sink(), {}));
    CHECK(again.bytes() == model.bytes());
}

TEST_CASE("peers/capture: dirty extents laid over the old disk give the new one") {
    constexpr std::uint64_t size = 32 * MiB;
    for (unsigned seed = 1; seed <= 8; ++seed) {
        CAPTURE(seed);
        const env::TemporaryFolder folder = scratch();
        const env::Path image = folder.path() / "disk";
        run({"qemu-img", "create", "-q", "-f", "qcow2", image, std::to_string(size)});
        std::mt19937 random{seed};
        change(image, random, size, 60);
        ModelDisk model{raw_of(image)};
        // Finer, equal and coarser than a chunk.
        const std::string granularity = std::to_string((16u << seed % 4) * KiB);
        run({"qemu-img", "bitmap", "--add", "-g", granularity, image, "b0"});
        change(image, random, size, 12);

        const NbdServer server =
            NbdServer::qemu_nbd({"-r", "-f", "qcow2", "-e", "8", "-B", "b0", image});
        const auto source = connect({server.socket(), "", "qemu:dirty-bitmap:b0"});
        const auto plan = copy_onto(model, *source, ByteCount{size});
        CHECK(model.bytes() == raw_of(image));
        CHECK(plan.read_bytes().raw() < size / 2);
    }
}

TEST_CASE("peers/capture: zeroed and discarded blocks come back as zeros, unread") {
    const env::TemporaryFolder folder = scratch();
    const env::Path image = folder.path() / "disk";
    run({"qemu-img", "create", "-q", "-f", "qcow2", image, "16M"});
    run({"qemu-io", "-f", "qcow2", "-c", "write -P 7 0 16M", image});
    ModelDisk model{raw_of(image)};
    run({"qemu-img", "bitmap", "--add", image, "b0"});
    run({"qemu-io", "-f", "qcow2", "-d", "unmap", "-c", "write -z 1M 64k", "-c", "discard 2M 128k",
         image});
    const NbdServer server =
        NbdServer::qemu_nbd({"-r", "-f", "qcow2", "-e", "8", "-B", "b0", image});
    const auto source = connect({server.socket(), "", "qemu:dirty-bitmap:b0"});
    const auto plan = copy_onto(model, *source, ByteCount{16 * MiB});
    CHECK(plan.read.empty());
    CHECK(plan.zeros == extents::ExtentSet{{ByteOffset{1 * MiB}, ByteCount{64 * KiB}},
                                           {ByteOffset{2 * MiB}, ByteCount{128 * KiB}}});
    CHECK(model.bytes() == raw_of(image));
}

TEST_CASE("peers/capture: nothing dirty, nothing read; a grown tail is shipped") {
    const env::TemporaryFolder folder = scratch();
    const env::Path image = folder.path() / "disk";
    run({"qemu-img", "create", "-q", "-f", "qcow2", image, "8M"});
    run({"qemu-io", "-f", "qcow2", "-c", "write -P 9 0 8M", image});
    Bytes old = raw_of(image);
    old.resize(12 * MiB, std::byte{0xee});  // the tail must be overwritten
    ModelDisk model{old};
    run({"qemu-img", "bitmap", "--add", image, "b0"});
    {
        const NbdServer server =
            NbdServer::qemu_nbd({"-r", "-f", "qcow2", "-e", "8", "-B", "b0", image});
        const auto source = connect({server.socket(), "", "qemu:dirty-bitmap:b0"});
        const auto plan = source->plan(chunk, ByteCount{8 * MiB}, {}).value();
        CHECK(plan.read.empty());
        CHECK(plan.zeros.empty());
    }
    run({"qemu-img", "resize", "-q", image, "12M"});
    const NbdServer server =
        NbdServer::qemu_nbd({"-r", "-f", "qcow2", "-e", "8", "-B", "b0", image});
    const auto source = connect({server.socket(), "", "qemu:dirty-bitmap:b0"});
    const auto plan = copy_onto(model, *source, ByteCount{8 * MiB});
    CHECK(model.bytes() == raw_of(image));
    CHECK(plan.zeros == extents::ExtentSet{{ByteOffset{8 * MiB}, ByteCount{4 * MiB}}});
}

TEST_CASE("peers/capture: a size that is no multiple of anything; a chunk above the request") {
    const env::TemporaryFolder folder = scratch();
    const env::Path file = folder.path() / "odd";
    run({"sh", "-c", "head -c 3000001 /dev/urandom > " + file.string()});
    const NbdServer server = NbdServer::nbdkit({"file", file});
    const auto source = connect({server.socket(), "", ""}, {.request_bytes = 64u << 10});
    CHECK(source->size() == ByteCount{3'000'001});
    ModelDisk model{Bytes(3'000'001)};
    copy_onto(model, *source);
    const Bytes expected = env::read_file(file, 4 * MiB).value();
    CHECK(model.bytes() == expected);

    const ByteCount large{1 * MiB};
    const auto plan = source->plan(large, {}, {}).value();
    std::mutex mutex;
    std::vector<std::uint64_t> lengths;
    const auto count = [&](ByteOffset, ByteView bytes) -> Status {
        const std::scoped_lock lock{mutex};
        lengths.push_back(bytes.size());
        return {};
    };
    REQUIRE(source->read(plan.read, 1, count, {}));
    CHECK(lengths.size() == 3);  // whole chunks of 1 MiB although requests were to be 64 KiB
}

TEST_CASE("peers/capture: without structured replies, or several connections, all is read") {
    Bytes expected;
    for (std::uint64_t at = 0; at < 4 * MiB; at += 8) {  // the pattern: each offset, big-endian
        for (unsigned n = 8; n-- > 0;) expected.push_back(static_cast<std::byte>(at >> (8 * n)));
    }
    const NbdServer simple = NbdServer::nbdkit({"--no-sr", "pattern", "size=4M"});
    const NbdServer single =
        NbdServer::nbdkit({"--filter=multi-conn", "pattern", "size=4M", "multi-conn-mode=disable"});
    for (const NbdServer* server : {&simple, &single}) {
        const auto source = connect({server->socket(), "", ""}, {.connections = 4});
        ModelDisk model{Bytes(4 * MiB)};
        const auto plan = copy_onto(model, *source);
        CHECK(plan.zeros.empty());
        CHECK(model.bytes() == expected);
    }
}

TEST_CASE("peers/capture: missing socket, export, dirty context; an empty disk") {
    const auto no_socket = capture::connect_nbd({"/no/such/socket", "", ""}, {}, real_clock);
    CHECK(no_socket.error().code == Errc::not_found);

    const env::TemporaryFolder folder = scratch();
    const env::Path image = folder.path() / "disk";
    run({"qemu-img", "create", "-q", "-f", "qcow2", image, "1M"});
    const NbdServer server = NbdServer::qemu_nbd({"-r", "-x", "vda", "-e", "8", image});
    const auto no_export = capture::connect_nbd({server.socket(), "vdb", ""}, {}, real_clock);
    CHECK(no_export.error().code == Errc::not_found);
    const auto source = connect({server.socket(), "vda", "qemu:dirty-bitmap:none"});
    CHECK(source->plan(chunk, {}, {}).error().id == "capture.no_dirty_context");
    CHECK(source->read({{ByteOffset{0}, ByteCount{4 * MiB}}}, 1, {}, {}).error().id ==
          "capture.beyond_end");

    const NbdServer empty = NbdServer::nbdkit({"memory", "0"});
    const auto nothing = connect({empty.socket(), "", ""});
    CHECK(nothing->plan(chunk, {}, {}).value().read.empty());
    CHECK(nothing->read({}, 2, {}, {}));
}
