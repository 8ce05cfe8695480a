#pragma once
#include <stdexcept>
#include <string>
#include <vector>

#include "env/files.hpp"
#include "env/poll.hpp"
#include "env/process.hpp"

namespace stillpoint::test {

/// Runs a program to its end; throws (and so fails the test) when the program fails.
/// @return its output
inline std::string run(const std::vector<std::string>& arguments) {
    const env::SystemClock clock;
    const auto done = env::run_process(arguments, env::Deadline{clock, std::chrono::seconds{60}},
                                       env::CancelToken{});
    if (!done) throw std::runtime_error(done.error().text);
    if (done->exit_code != 0) throw std::runtime_error(arguments[0] + ": " + done->errors);
    return done->out;
}

/// A real NBD server (qemu-nbd, nbdkit, qemu-storage-daemon) on a unix socket in a private folder;
/// dies with its object and, should the test crash, with the test.
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
    /// `qemu-storage-daemon` with an NBD server on SOCKET, then the arguments
    static NbdServer storage_daemon(std::vector<std::string> arguments) {
        NbdServer server;
        const std::vector<std::string> head{
            "qemu-storage-daemon", "--pidfile", server.file("pid"), "--nbd-server",
            "addr.type=unix,addr.path=" + server.socket() + ",max-connections=0"};
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
            const auto ended = child_[0].wait(env::Deadline{clock, {}});
            const bool runs = !ended && ended.error().code == Errc::timeout;
            const bool waited = runs && env::pause(std::chrono::milliseconds{2}, {}).has_value();
            if (!waited || deadline.passed())
                throw std::runtime_error("an NBD server did not start");
        }
    }
    env::TemporaryFolder folder_;
    std::vector<env::Child> child_;  // one
};

}  // namespace stillpoint::test
