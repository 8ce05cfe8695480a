#pragma once
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "serialization/value.hpp"
#include "stillpoint/host_plugin.h"

/// A manager's view of the plugin: loaded by path, spoken to through the C ABI alone.
namespace stillpoint::manager {

struct Callbacks {
    std::function<void(int severity, const std::string& line)> log;
    std::function<void(const serialization::Value& event)> event;
};

struct JobEnd {
    int exit_code = 1;
    std::string json;
    serialization::Value document;
};

/// @threads cancel any; others one at a time
class Plugin {
public:
    /// @param path the shared object; @param config host.xml's content, may be empty
    /// @errors not_found, id "plugin.load" · unsupported, id "plugin.abi" · those of open()
    static Result<std::unique_ptr<Plugin>> load(const std::string& path, const std::string& config,
                                                Callbacks callbacks);
    Plugin(const Plugin&) = delete;
    Plugin& operator=(const Plugin&) = delete;
    ~Plugin();

    Result<std::uint64_t> submit(const serialization::Value& request, const std::string& secret);
    void cancel(std::uint64_t job);
    /// @return false while the job still runs after `timeout_ms`
    Result<bool> wait(std::uint64_t job, std::int64_t timeout_ms, JobEnd& end);

private:
    explicit Plugin(Callbacks callbacks);
    Status open(const std::string& path, const std::string& config);

    Callbacks callbacks_;
    const sp_plugin* api_ = nullptr;
    sp_session* session_ = nullptr;
};

/// Where the plugin is: `--plugin`, then $STILLPOINT_PLUGIN, then in a build tree the sibling
/// target, then the compiled-in path.
[[nodiscard]] std::string find_plugin(const std::string& option);

}  // namespace stillpoint::manager
