#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "manager/options.hpp"
#include "manager/plugin.hpp"
#include "manager/render.hpp"
#include "manager/stop_signals.hpp"
#include "manager/supervisor.hpp"
#include "manager/terminal.hpp"
#include "serialization/reports.hpp"

/// stillpoint: the reference hypervisor manager on the command line.
namespace stillpoint::manager {
namespace {

constexpr std::int64_t no_timeout_ms = -1;  // a job has its own deadlines
constexpr const char* default_config = "/etc/stillpoint/host.xml";

serialization::Value error_document(const Error& error) {
    return serialization::Map{{"error", serialization::to_value(serialization::ErrorReport{
                                            error.id, error.text, error.remedy})}};
}

Result<std::string> read_config(const std::string& option) {
    std::ifstream file{option.empty() ? default_config : option};
    if (!file) {
        if (option.empty()) return std::string{};
        return fail(Errc::invalid, "config.missing", option + " cannot be read", "check --config");
    }
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

class Cli {
public:
    explicit Cli(CommandLine command) : command_(std::move(command)), log_(make_log()) {}

    int run() {
        const auto config = read_config(command_.config);
        if (!config) return report(2, error_document(config.error()));
        auto plugin = Plugin::load(find_plugin(command_.plugin), *config, callbacks());
        if (!plugin) {
            return report(plugin.error().code == Errc::invalid ? 2 : 1,
                          error_document(plugin.error()));
        }
        std::string secret;
        if (command_.wants_new_passphrase && !choose_passphrase(secret)) {
            return report(2, error_document({Errc::invalid, "vault.key_needed",
                                             "no passphrase was given, or the two differ",
                                             "type it at a terminal, or use --key-file"}));
        }
        JobEnd end = run_job(**plugin, secret);
        if (misses(end, "vault.key_needed")) {
            if (const auto typed = ask_passphrase("passphrase of the vault: ")) {
                secret = *typed;
                end = run_job(**plugin, secret);
            }
        }
        std::string fresh;
        if (misses(end, "vault.new_key_needed") && choose_passphrase(fresh)) {
            end = run_job(**plugin, secret + "\n" + fresh);
        }
        return report(end.exit_code, end.document);
    }

private:
    [[nodiscard]] std::shared_ptr<spdlog::logger> make_log() const {
        auto log = std::make_shared<spdlog::logger>(
            "stillpoint", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        log->set_pattern("%H:%M:%S.%e %l %v");
        log->set_level(command_.verbosity == 0   ? spdlog::level::err
                       : command_.verbosity == 1 ? spdlog::level::info
                                                 : spdlog::level::debug);
        return log;
    }

    Callbacks callbacks() {
        return {.log =
                    [this](int severity, const std::string& line) {
                        bar_.clear();
                        log_->log(severity <= SP_LOG_DEBUG     ? spdlog::level::debug
                                  : severity == SP_LOG_INFO    ? spdlog::level::info
                                  : severity == SP_LOG_WARNING ? spdlog::level::warn
                                                               : spdlog::level::err,
                                  "{}", line);
                    },
                .event =
                    [this](const serialization::Value& event) {
                        if (command_.json) return;
                        const auto progress =
                            serialization::from_value<serialization::ProgressEvent>(event, "event");
                        if (progress) bar_.show(*progress);
                    }};
    }

    static bool choose_passphrase(std::string& secret) {
        const auto first = ask_passphrase("new passphrase: ");
        if (!first || first->empty()) return false;
        const auto second = ask_passphrase("the same once more: ");
        if (!second || *second != *first) return false;
        secret = *first;
        return true;
    }

    JobEnd run_job(Plugin& plugin, const std::string& secret) {
        const auto job = plugin.submit(command_.request, secret);
        if (!job) return failed(job.error(), 2);
        const OnStop on_stop{[&] {
            plugin.cancel(*job);
            say_stopping();
        }};
        JobEnd end;
        const auto done = plugin.wait(*job, no_timeout_ms, end);
        if (!done) return failed(done.error(), 1);
        bar_.clear();
        return end;
    }

    static JobEnd failed(const Error& error, int exit_code) {
        return {.exit_code = exit_code, .json = {}, .document = error_document(error)};
    }

    static bool misses(const JobEnd& end, std::string_view code) {
        const serialization::Value* error = end.document.find("error");
        return error != nullptr && error->text_or("code") == code;
    }
    [[nodiscard]] int report(int exit_code, const serialization::Value& document) const {
        const bool is_error = document.find("error") != nullptr;
        if (command_.json) {
            std::cout << to_json(document, serialization::JsonStyle::indented) << "\n";
        } else if (is_error) {
            render_error(std::cerr, document);
        } else {
            render_result(std::cout, command_.request.text_or("kind"), document);
        }
        // Output that could not be written is a failure of ours, also when the job went well.
        return std::cout.flush() ? exit_code : 1;
    }

    CommandLine command_;
    std::shared_ptr<spdlog::logger> log_;
    ProgressBar bar_;
};

}  // namespace
}  // namespace stillpoint::manager

int main(int argc, char** argv) {
    using namespace stillpoint::manager;
    std::signal(SIGPIPE, SIG_IGN);
    if (!catch_stop_signals()) {
        std::fputs(
            "stillpoint: no descriptors are left to this process\n"
            "            raise its limit of open files (ulimit -n)\n",
            stderr);
        return 1;
    }
    ParseOutcome parsed = parse_command_line(argc, argv);
    if (!parsed.command) return parsed.exit_code;
    return supervise([&] { return Cli{std::move(*parsed.command)}.run(); });
}
