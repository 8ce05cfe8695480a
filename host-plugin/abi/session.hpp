#pragma once
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "abi/handlers.hpp"
#include "abi/manager_link.hpp"

/// The jobs of one open plugin session.
namespace stillpoint::abi {

/// @threads any
class Session {
public:
    Session(HostConfig config, const sp_manager& manager);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    /// Cancels what runs and waits for it.
    ~Session();

    /// @param request a request document; @param secret wiped when the job ends
    std::uint64_t submit(serialization::Value request, std::string secret);
    /// @return false: no such job
    bool cancel(std::uint64_t job);
    enum class Waited { done, timeout, unknown };
    /// Negative timeout: until the job's own deadlines end it. A job is handed out once.
    Waited wait(std::uint64_t job, std::int64_t timeout_ms, JobResult& result);

private:
    struct Job {
        env::CancelToken cancel;
        std::string secret;
        bool done = false;
        JobResult result;
        std::thread thread;
    };
    void run(std::uint64_t number, Job& job, const serialization::Value& request);

    HostConfig config_;
    env::SystemClock clock_;
    hypervisor::LibvirtLoop libvirt_loop_;
    ManagerLink link_;
    std::mutex mutex_;
    std::condition_variable finished_;
    std::map<std::uint64_t, std::unique_ptr<Job>> jobs_;  // guarded by mutex_
    std::uint64_t last_job_ = 0;                          // guarded by mutex_
};

}  // namespace stillpoint::abi
