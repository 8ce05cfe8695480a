#include "abi/session.hpp"

#include <sodium.h>

#include <utility>

#include "env/no_pipe_signal.hpp"

namespace stillpoint::abi {
namespace {

/// Passes a route's words on under the number of its job.
class JobReporter final : public route::Reporter {
public:
    JobReporter(ManagerLink& link, std::uint64_t job) : link_(link), job_(job) {}
    void log(route::Severity severity, const std::string& line) override {
        link_.log(severity, line);
    }
    void progress(const serialization::ProgressEvent& event) override { link_.event(job_, event); }

private:
    ManagerLink& link_;
    std::uint64_t job_;
};

}  // namespace

Session::Session(HostConfig config, const sp_manager& manager)
    : config_(std::move(config)),
      libvirt_loop_(manager.runs_libvirt_event_loop != 0 ? hypervisor::LibvirtLoop::program
                                                         : hypervisor::LibvirtLoop::ours),
      link_(manager) {}

Session::~Session() {
    std::map<std::uint64_t, std::unique_ptr<Job>> jobs;
    {
        const std::scoped_lock lock{mutex_};
        for (const auto& [number, job] : jobs_) job->cancel.cancel();
        jobs.swap(jobs_);
    }
    for (const auto& [number, job] : jobs) job->thread.join();
}

std::uint64_t Session::submit(serialization::Value request, std::string secret) {
    const std::scoped_lock lock{mutex_};
    const std::uint64_t number = ++last_job_;
    auto& job = *(jobs_[number] = std::make_unique<Job>());
    job.secret = std::move(secret);
    job.thread = std::thread{
        [this, number, &job, request = std::move(request)] { run(number, job, request); }};
    return number;
}

void Session::run(std::uint64_t number, Job& job, const serialization::Value& request) {
    const env::NoPipeSignal quiet;
    JobReporter reporter{link_, number};
    JobResult result = handle_request(request, {.config = config_,
                                                .clock = clock_,
                                                .reporter = reporter,
                                                .secret = job.secret,
                                                .cancel = job.cancel,
                                                .libvirt_loop = libvirt_loop_});
    link_.drain();
    const std::scoped_lock lock{mutex_};
    sodium_memzero(job.secret.data(), job.secret.size());
    job.result = std::move(result);
    job.done = true;
    finished_.notify_all();
}

bool Session::cancel(std::uint64_t job) {
    const std::scoped_lock lock{mutex_};
    const auto found = jobs_.find(job);
    if (found == jobs_.end()) return false;
    found->second->cancel.cancel();
    return true;
}

Session::Waited Session::wait(std::uint64_t job, std::int64_t timeout_ms, JobResult& result) {
    std::unique_lock lock{mutex_};
    const auto found = jobs_.find(job);
    if (found == jobs_.end()) return Waited::unknown;
    Job& waited = *found->second;
    const auto done = [&] { return waited.done; };
    if (timeout_ms < 0) {
        finished_.wait(lock, done);
    } else if (!finished_.wait_for(lock, std::chrono::milliseconds{timeout_ms}, done)) {
        return Waited::timeout;
    }
    const std::unique_ptr<Job> ended = std::move(jobs_.extract(job).mapped());
    lock.unlock();
    ended->thread.join();
    result = std::move(ended->result);
    return Waited::done;
}

}  // namespace stillpoint::abi
