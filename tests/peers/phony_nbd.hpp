#pragma once
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "env/files.hpp"
#include "env/poll.hpp"

namespace stillpoint::test {

/// What a phony server says; everything has a harmless default.
struct Lies {
    std::uint64_t size = 64u << 20;
    /// Pairs of length and flags for a block status question.
    using Extents = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
    std::function<Extents(std::uint64_t at, std::uint32_t length)> status =
        [](std::uint64_t, std::uint32_t length) {
            return Extents{{length, 0}};
        };
    /// How many bytes of a read are sent, and where they are said to belong.
    std::function<std::pair<std::uint64_t, std::uint32_t>(std::uint64_t at, std::uint32_t length)>
        read = [](std::uint64_t at, std::uint32_t length) {
            return std::pair{at, length};
        };
    std::uint32_t status_context = 1;  // the id in its answers; 1 is the negotiated one
};

/// An NBD server (fixed newstyle, structured replies) that says what no real one would.
/// Serves any number of clients, one after the other in one thread each.
/// @source https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
class PhonyNbd {
public:
    explicit PhonyNbd(Lies lies);
    ~PhonyNbd();
    PhonyNbd(const PhonyNbd&) = delete;
    PhonyNbd& operator=(const PhonyNbd&) = delete;
    [[nodiscard]] std::string socket() const { return folder_.path() / "s"; }

private:
    void serve();
    Lies lies_;
    env::TemporaryFolder folder_;
    env::UniqueFd listener_;
    env::CancelToken stop_;
    std::jthread thread_;
};

}  // namespace stillpoint::test
