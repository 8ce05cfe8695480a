#pragma once
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "route/services.hpp"
#include "stillpoint/host_plugin.h"

/// The manager's callbacks, called from one thread of ours so that no job waits for a slow manager.
namespace stillpoint::abi {

/// @threads any
class ManagerLink {
public:
    explicit ManagerLink(const sp_manager& manager);
    ManagerLink(const ManagerLink&) = delete;
    ManagerLink& operator=(const ManagerLink&) = delete;
    /// Delivers what is queued, then ends the thread.
    ~ManagerLink();

    void log(route::Severity severity, std::string line);
    /// Dropped when more than `queued_max` wait: only the newest progress matters.
    void event(std::uint64_t job, const serialization::ProgressEvent& event);
    /// Returns when everything queued before the call was delivered.
    void drain();

private:
    static constexpr std::size_t queued_max = 1024;
    struct Item {
        std::uint64_t job = 0;  // 0: a log line
        int severity = 0;
        std::string text;
    };
    void push(Item item);
    void deliver(const Item& item) const;
    void run(const std::stop_token& stop);

    sp_manager manager_;
    std::mutex mutex_;
    std::condition_variable_any filled_;
    std::condition_variable emptied_;
    std::deque<Item> items_;   // guarded by mutex_
    bool delivering_ = false;  // guarded by mutex_
    std::jthread thread_;      // ended first: uses all above
};

}  // namespace stillpoint::abi
