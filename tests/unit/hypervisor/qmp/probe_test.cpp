#include "hypervisor/qmp/probe.hpp"

#include <doctest/doctest.h>

#include <future>

#include "fakes/listener.hpp"

using namespace stillpoint;
using namespace stillpoint::hypervisor::qmp;
using namespace std::chrono_literals;

namespace {

const env::SystemClock real_clock;
constexpr std::size_t goodbye_bytes = 20;

env::Deadline in(env::Nanoseconds budget) {
    return {real_clock, budget};
}

struct World {
    env::TemporaryFolder folder =
        env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-probe-").value();
    env::Path socket = folder.path() / "nbd.sock";
    env::Doorbell stop = env::Doorbell::create().value();
};

}  // namespace

TEST_CASE("hypervisor/qmp/probe: the leave is taken when the server has ended the connection") {
    World world;
    fakes::Listener listener{world.socket};
    auto leave = std::async(std::launch::async, [&] { return take_leave(world.socket, in(20s)); });
    {
        auto server = listener.accept(world.stop);
        REQUIRE(server);
        REQUIRE(server->write(as_bytes("NBDMAGICIHAVEOPT\x01\x03")));
        Bytes said;
        Bytes part;
        while (said.size() < goodbye_bytes) {
            REQUIRE(server->read(part, in(10s)) == fakes::Peer::Event::bytes);
            said.insert(said.end(), part.begin(), part.end());
        }
        CHECK(as_text(said).substr(4, 8) == "IHAVEOPT");
        // QEMU may not look at the connection for a while: whoever left now could stop the server.
        CHECK(server->read(part, in(300ms)) == fakes::Peer::Event::deadline);
        CHECK(leave.wait_for(0s) == std::future_status::timeout);
    }
    CHECK(leave.get() == NbdServer::left);
}

TEST_CASE("hypervisor/qmp/probe: a server that keeps the connection is silent, a dead one none") {
    const World world;
    CHECK(take_leave(world.socket, in(20s)) == NbdServer::none);
    const fakes::Listener listener{world.socket};
    CHECK(take_leave(world.socket, in(100ms)) == NbdServer::silent);
}
