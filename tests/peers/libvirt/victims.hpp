#pragma once
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <string>

#include "env/poll.hpp"
#include "test_domain.hpp"

namespace stillpoint::test {

inline env::Deadline soon() {
    static const env::SystemClock clock;
    return {clock, std::chrono::seconds{60}};
}

// Looks again and again until it is so; a test that waits in vain fails.
template <class Condition>
bool eventually(const Condition& condition) {
    const env::Deadline deadline = soon();
    while (!condition()) {
        if (deadline.passed()) return false;
        must(env::pause(std::chrono::milliseconds{20}, env::CancelToken{}));
    }
    return true;
}

inline std::string error_id(const Status& status) {
    return status ? "" : status.error().id;
}

/// Another process that owns a backup, and dies.
class Owner {
public:
    Owner(const TestDomain& domain, const std::string& phase, const std::string& bitmap,
          env::Path folder = job_folder())
        : folder_(std::move(folder)),
          child_(must(env::Child::spawn(
              {.arguments = {program(), domain.name(), folder_.string(), phase, bitmap}}))) {
        if (!eventually([this] { return std::filesystem::exists(folder_ / "there"); })) {
            throw std::runtime_error("the owner did not come to " + phase);
        }
    }
    void die() {
        child_.kill(SIGKILL);
        must(child_.wait(soon()));
    }
    [[nodiscard]] serialization::Value order() const {
        std::ifstream in{folder_ / "order"};
        const std::string text{std::istreambuf_iterator<char>{in}, {}};
        return must(serialization::parse_json(text));
    }
    [[nodiscard]] env::Path scratch_folder() const { return folder_ / "qemu"; }

private:
    static std::string program() { return std::getenv("STILLPOINT_LIBVIRT_HOLDER"); }
    env::Path folder_;
    env::Child child_;
};

}  // namespace stillpoint::test
