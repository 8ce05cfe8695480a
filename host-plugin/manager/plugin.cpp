#include "manager/plugin.hpp"

#include <Poco/Exception.h>
#include <Poco/SharedLibrary.h>

#include <cstdlib>
#include <filesystem>

namespace stillpoint::manager {
namespace {

std::string_view view_of(sp_text text) {
    return text.data == nullptr ? std::string_view{} : std::string_view{text.data, text.length};
}

sp_text text_of(const std::string& text) {
    return {text.data(), text.size()};
}

void on_log(void* self, int severity, sp_text line) {
    static_cast<Callbacks*>(self)->log(severity, std::string(view_of(line)));
}

void on_event(void* self, std::uint64_t, sp_text json) {
    // A malformed event is the plugin's mistake and costs one line of progress.
    if (const auto event = serialization::parse_json(view_of(json))) {
        static_cast<Callbacks*>(self)->event(*event);
    }
}

Error error_of(std::string_view json, const std::string& fallback) {
    const auto document = serialization::parse_json(json);
    const serialization::Value* error = document ? document->find("error") : nullptr;
    if (error == nullptr) return {Errc::io, "plugin.failed", fallback, {}};
    return {Errc::invalid, error->text_or("code"), error->text_or("text"),
            error->text_or("remedy")};
}

using EntryPoint = const sp_plugin* (*)(std::uint32_t);

Result<const sp_plugin*> load_api(const std::string& path) {
    try {
        // The destructor leaves the library loaded: the plugin must never be unloaded.
        Poco::SharedLibrary library{path};
        const auto entry =
            reinterpret_cast<EntryPoint>(library.getSymbol("stillpoint_host_plugin"));
        const sp_plugin* api = entry(SP_ABI_VERSION);
        if (api == nullptr || api->struct_size < sizeof(sp_plugin)) {
            return fail(Errc::unsupported, "plugin.abi",
                        path + " does not speak ABI version " + std::to_string(SP_ABI_VERSION),
                        "install the plugin and the manager of one release");
        }
        return api;
    } catch (const Poco::Exception& problem) {
        return fail(Errc::not_found, "plugin.load",
                    "loading the plugin " + path + ": " + problem.displayText(),
                    "name it with --plugin or STILLPOINT_PLUGIN");
    }
}

}  // namespace

Plugin::Plugin(Callbacks callbacks) : callbacks_(std::move(callbacks)) {}

Result<std::unique_ptr<Plugin>> Plugin::load(const std::string& path, const std::string& config,
                                             Callbacks callbacks) {
    std::unique_ptr<Plugin> plugin{new Plugin{std::move(callbacks)}};
    SP_TRY(plugin->open(path, config));
    return plugin;
}

Status Plugin::open(const std::string& path, const std::string& config) {
    SP_ASSIGN(api_, load_api(path));
    const sp_manager manager{.struct_size = sizeof(sp_manager),
                             .abi_version = SP_ABI_VERSION,
                             .self = &callbacks_,
                             .log = on_log,
                             .event = on_event,
                             .runs_libvirt_event_loop = 0,
                             .config = text_of(config),
                             .hypervisor = nullptr};
    sp_text error{};
    if (api_->open(&manager, &session_, &error) == SP_OK) return {};
    const Error problem = error_of(view_of(error), "the plugin could not be opened");
    api_->free(error);
    return fail(problem);
}

Plugin::~Plugin() {
    if (session_ != nullptr) api_->close(session_);
}

Result<std::uint64_t> Plugin::submit(const serialization::Value& request,
                                     const std::string& secret) {
    const std::string json = to_json(request);
    std::uint64_t job = 0;
    sp_text error{};
    if (api_->submit(session_, text_of(json), text_of(secret), &job, &error) == SP_OK) return job;
    const Error problem = error_of(view_of(error), "the plugin refused the request");
    api_->free(error);
    return fail(problem);
}

void Plugin::cancel(std::uint64_t job) {
    api_->cancel(session_, job);
}

Result<bool> Plugin::wait(std::uint64_t job, std::int64_t timeout_ms, JobEnd& end) {
    sp_text json{};
    const int code = api_->wait(session_, job, timeout_ms, &end.exit_code, &json);
    if (code == SP_TIMEOUT) return false;
    end.json = std::string(view_of(json));
    if (json.data != nullptr) api_->free(json);
    if (code != SP_OK) return fail(error_of(end.json, "the plugin lost the job"));
    SP_ASSIGN(end.document, serialization::parse_json(end.json));
    return true;
}

std::string find_plugin(const std::string& option) {
    if (!option.empty()) return option;
    if (const char* named = std::getenv("STILLPOINT_PLUGIN"); named != nullptr && *named != '\0') {
        return named;
    }
    std::error_code ignored;  // no /proc: the compiled-in path is left
    const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
    const auto sibling = self.parent_path().parent_path() / "abi" / "libstillpoint-host.so";
    if (std::filesystem::exists(sibling, ignored)) return sibling.string();
    return STILLPOINT_PLUGIN_PATH;
}

}  // namespace stillpoint::manager
