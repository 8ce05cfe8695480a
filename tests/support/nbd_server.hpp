#pragma once
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "env/files.hpp"
#include "env/poll.hpp"
#include "env/process.hpp"

namespace stillpoint::test {

/// Runs a program to its end; the test fails when the program does.
/// @return its output
inline std::string run(const std::vector<std::string>& arguments) {
    const env::SystemClock clock;
    const auto done = env::run_process(arguments, env::Deadline{clock, std::chrono::seconds{60}},
                                       env::CancelToken{});
    REQUIRE_MESSAGE(done.has_value(), arguments[0]);
    REQUIRE_MESSAGE(done->exit_code == 0, arguments[0] << ": " << done->errors);
    return done->out;
}

/// A real NBD server (qemu-nbd, nbdkit) on a unix socket in a private folder; dies with its object
/// and, should the test crash, with the test.
class NbdServer {
public:
    /// `qemu-nbd -t -k SOCKET` + arguments
    static NbdServer qemu_nbd(std::vector<std::string> arguments) {
        NbdServer server;
        const std::vector<std::string> head{"qemu-nbd",      "-t",         "-k",
                                            server.socket(), "--pid-file", server.file("pid")};
        arguments.insert(arguments.begin(), head.begin(), head.end());
        server.start(arguments);
        return server;
    }
    /// `nbdkit -f -U SOCKET` + arguments
    static NbdServer nbdkit(std::vector<std::string> arguments) {
        NbdServer server;
        const std::vector<std::string> head{"nbdkit",        "-f", "-U",
                                            server.socket(), "-P", server.file("pid")};
        arguments.insert(arguments.begin(), head.begin(), head.end());
        server.start(arguments);
        return server;
    }
    [[nodiscard]] std::string socket() const { return file("s"); }
    [[nodiscard]] std::string file(const std::string& name) const { return folder_.path() / name; }
    void kill(int signal) const { child_[0].kill(signal); }

private:
    NbdServer()
        : folder_(env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-nbd-")
                      .value()) {}
    void start(std::vector<std::string> arguments) {
        const std::vector<std::string> head{"setpriv", "--pdeathsig", "KILL", "--"};
        arguments.insert(arguments.begin(), head.begin(), head.end());
        env::SpawnOptions options;
        options.arguments = std::move(arguments);
        child_.push_back(env::Child::spawn(options).value());
        // Both write their pid file once they listen.
        const env::SystemClock clock;
        const env::Deadline deadline{clock, std::chrono::seconds{30}};
        while (!std::filesystem::exists(file("pid"))) {
            REQUIRE_FALSE(deadline.passed());
            REQUIRE(child_[0].wait(env::Deadline{clock, {}}).error().code == Errc::timeout);
            REQUIRE(env::pause(std::chrono::milliseconds{2}, {}));
        }
    }
    env::TemporaryFolder folder_;
    std::vector<env::Child> child_;  // one
};

}  // namespace stillpoint::test
