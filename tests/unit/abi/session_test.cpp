#include "abi/session.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "fakes/listener.hpp"
#include "serialization/requests.hpp"

using namespace stillpoint;

namespace {

/// Threads of this process that have SIGPIPE blocked. @source proc(5), /proc/pid/task/tid/status
std::size_t threads_without_pipe_signal() {
    std::size_t count = 0;
    for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
        std::ifstream status{task.path() / "status"};
        for (std::string word; status >> word;) {
            std::uint64_t blocked = 0;
            if (word != "SigBlk:" || !(status >> std::hex >> blocked)) continue;
            count += blocked >> (SIGPIPE - 1) & 1;
        }
    }
    return count;
}

}  // namespace

TEST_CASE(
    "abi/session: no job of ours ends the program that loaded us by writing to who has left") {
    const auto folder = env::TemporaryFolder::create("/tmp", "sp-session-").value();
    const env::Path socket = folder.path() / "qmp";
    fakes::Listener monitor{socket};
    const auto stop = env::Doorbell::create().value();
    REQUIRE(threads_without_pipe_signal() == 0);
    sp_manager manager{};
    manager.struct_size = sizeof manager;
    manager.abi_version = SP_ABI_VERSION;
    abi::Session session{abi::HostConfig{}, manager};
    serialization::GuestStatusRequest request;
    request.vm.vm = "label";
    request.vm.qmp_socket = socket.string();
    serialization::Value document = serialization::to_value(request);
    (*document.map())["kind"] = serialization::GuestStatusRequest::kind;
    const auto job = session.submit(std::move(document), {});
    auto peer = monitor.accept(stop);  // it is there, and waits for our greeting
    REQUIRE(peer);
    CHECK(threads_without_pipe_signal() >= 1);
    CHECK(session.cancel(job));
    abi::JobResult result;
    CHECK(session.wait(job, -1, result) == abi::Session::Waited::done);
    CHECK(result.exit_code != 0);
}
