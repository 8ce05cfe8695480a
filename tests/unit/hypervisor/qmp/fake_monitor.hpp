#pragma once
#include <functional>
#include <string>
#include <thread>

#include "env/fd.hpp"
#include "env/files.hpp"

namespace stillpoint::test {

inline constexpr const char* greeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": []}})"
    "\r\n";

/// The server's end of one connection.
class Script {
public:
    explicit Script(int fd) : fd_(fd) {}
    void send(const std::string& text) const;
    /// One line of the client without its end; empty: the client left.
    std::string line();
    /// Greets and answers qmp_capabilities: what every good monitor does first.
    void welcome();
    /// Waits until the client leaves.
    void until_client_leaves();

private:
    int fd_;
    std::string buffer_;
};

/// A QMP monitor that does what a test says, for one client.
class FakeMonitor {
public:
    explicit FakeMonitor(std::function<void(Script&)> script);
    ~FakeMonitor();
    FakeMonitor(const FakeMonitor&) = delete;
    FakeMonitor& operator=(const FakeMonitor&) = delete;
    [[nodiscard]] env::Path path() const { return folder_.path() / "qmp.sock"; }

private:
    env::TemporaryFolder folder_;
    env::UniqueFd listener_;
    std::thread thread_;
};

}  // namespace stillpoint::test
