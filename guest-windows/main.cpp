#include <Poco/Util/HelpFormatter.h>
#include <Poco/Util/Option.h>
#include <Poco/Util/OptionCallback.h>
#include <Poco/Util/OptionException.h>
#include <Poco/Util/OptionSet.h>
#include <Poco/Util/ServerApplication.h>

#include <cstdio>
#include <iostream>

#include "os/com.hpp"
#include "os/event_log.hpp"
#include "provider/registration.hpp"
#include "service/guest_service.hpp"

/// The composition root of stillpoint-guest.exe.
namespace stillpoint::windows_guest {
namespace {

using Poco::Util::Option;
using Poco::Util::OptionCallback;
using Poco::Util::OptionSet;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_repair = 3;

const char* name_of(Severity severity) {
    switch (severity) {
        case Severity::info:
            return "info";
        case Severity::warning:
            return "warning";
        case Severity::error:
            return "error";
    }
    return "error";
}

void write_line(Severity severity, const std::string& text) {
    std::fprintf(stderr, "stillpoint-guest: %s: %s\n", name_of(severity), text.c_str());
    std::fflush(stderr);
}

std::string text_of(const Error& error) {
    return error.text + (error.remedy.empty() ? "" : "; " + error.remedy);
}

/// Runs in a console, or as the service that --registerService made.
class GuestService final : public Poco::Util::ServerApplication {
public:
    GuestService() { setUnixOptions(true); }

protected:
    void defineOptions(OptionSet& options) override {
        ServerApplication::defineOptions(options);
        options.addOption(
            Option("channel", "", "talk over this device in place of the virtio-serial port")
                .argument("PATH")
                .callback(OptionCallback<GuestService>(this, &GuestService::take_channel)));
        options.addOption(
            Option("config", "",
                   R"(configuration; default guest.xml below %ProgramData%\Stillpoint)")
                .argument("FILE")
                .callback(OptionCallback<GuestService>(this, &GuestService::take_config)));
        options.addOption(
            Option("type", "", "full or copy, whatever guest.xml or the host says")
                .argument("TYPE")
                .callback(OptionCallback<GuestService>(this, &GuestService::take_type)));
        options.addOption(
            Option("json", "", "doctor: one JSON document")
                .callback(OptionCallback<GuestService>(this, &GuestService::take_json)));
        options.addOption(
            Option("version", "", "print the version")
                .callback(OptionCallback<GuestService>(this, &GuestService::take_version)));
        options.addOption(
            Option("help", "h", "print this text")
                .callback(OptionCallback<GuestService>(this, &GuestService::take_help)));
    }

    int main(const std::vector<std::string>& words) override {
        if (told_) return EXIT_OK;
        if (!wrong_option_.empty()) {
            std::fprintf(stderr, "stillpoint-guest: %s; see --help\n", wrong_option_.c_str());
            return exit_usage;
        }
        const std::string word = words.empty() ? "run" : words.front();
        if (words.size() <= 1 && word == "register-provider") return report(register_provider);
        if (words.size() <= 1 && word == "unregister-provider") return report(unregister_provider);
        if (words.size() <= 1 && word == "doctor") return examine();
        if (words.size() > 1 || word != "run" || json_) {
            std::fprintf(
                stderr, "stillpoint-guest: %s; see --help\n",
                json_ ? "--json goes with doctor" : ("unknown word: " + words.back()).c_str());
            return exit_usage;
        }
        const os::EventLog events;
        const bool console = isInteractive();
        const auto log = [&](Severity severity, const std::string& text) {
            console ? write_line(severity, text) : events.write(severity, text);
        };
        const Status served = serve(options_, log, [this] { waitForTerminationRequest(); });
        if (served) return EXIT_OK;
        log(Severity::error, text_of(served.error()));
        return served.error().code == Errc::invalid ? exit_usage : exit_failed;
    }

private:
    void take_channel(const std::string&, const std::string& value) { options_.channel = value; }
    void take_config(const std::string&, const std::string& value) { options_.config = value; }
    void take_type(const std::string&, const std::string& value) {
        options_.type =
            serialization::parse_enum(value, static_cast<serialization::BackupType*>(nullptr));
        if (!options_.type) wrong_option_ = "--type is full or copy, not " + value;
    }
    void take_json(const std::string&, const std::string&) { json_ = true; }
    void take_version(const std::string&, const std::string&) {
        std::puts("stillpoint-guest " STILLPOINT_VERSION);
        told_ = true;
        stopOptionsProcessing();
    }
    void take_help(const std::string&, const std::string&) {
        Poco::Util::HelpFormatter formatter{options()};
        formatter.setCommand("stillpoint-guest.exe");
        formatter.setUnixStyle(true);
        formatter.setUsage("[run|doctor|register-provider|unregister-provider] [OPTION]…");
        formatter.setHeader("Brings this machine to a still point while its backup is taken.");
        formatter.format(std::cout);
        told_ = true;
        stopOptionsProcessing();
    }

    /// @return whether something needs to be repaired, as the exit status
    [[nodiscard]] int examine() const {
        const serialization::Diagnosis found = examine_machine(options_, write_line);
        const std::string text =
            json_ ? to_json(to_value(found), serialization::JsonStyle::indented) + "\n"
                  : diagnosis_text(found);
        std::fputs(text.c_str(), stdout);
        return needs_repair(found) ? exit_repair : EXIT_OK;
    }

    static int report(Status (*act)()) {
        const os::Apartment apartment;
        const Status done = act();
        if (!done) write_line(Severity::error, text_of(done.error()));
        return done ? EXIT_OK : exit_failed;
    }

    ServiceOptions options_;
    std::string wrong_option_;
    bool json_ = false;
    bool told_ = false;
};

}  // namespace
}  // namespace stillpoint::windows_guest

int wmain(int argc, wchar_t** argv) {
    using namespace stillpoint::windows_guest;
    try {
        GuestService service;
        return service.run(argc, argv);
    } catch (const Poco::Exception& error) {
        std::fprintf(stderr, "stillpoint-guest: %s\n", error.displayText().c_str());
        return exit_failed;
    }
}
