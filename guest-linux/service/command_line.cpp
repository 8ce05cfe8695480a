#include "service/command_line.hpp"

#include <array>
#include <utility>

namespace stillpoint::linux_guest {
namespace {

constexpr std::array<std::pair<std::string_view, Command>, 7> commands{
    {{"run", Command::run},
     {"plan", Command::plan},
     {"doctor", Command::doctor},
     {"import-azure", Command::import_azure},
     {"--version", Command::version},
     {"--help", Command::help},
     {"-h", Command::help}}};

struct ValueOption {
    std::string_view name;
    std::string CommandLine::*member;
};
constexpr std::array<ValueOption, 3> value_options{{{"--config", &CommandLine::config},
                                                    {"--channel", &CommandLine::channel},
                                                    {"--log", &CommandLine::log}}};

}  // namespace

Result<CommandLine> parse_command_line(std::span<const char* const> arguments) {
    CommandLine line;
    bool commanded = false;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view word = arguments[i];
        bool known = word == "--json" || word == "--no-freeze";
        if (word == "--json") line.json = true;
        if (word == "--no-freeze") line.no_freeze = true;
        for (const auto& [name, command] : commands) {
            if (name != word) continue;
            if (std::exchange(commanded, true)) {
                return fail(Errc::invalid, "usage", "one command at a time", "see --help");
            }
            line.command = command;
            known = true;
        }
        for (const ValueOption& option : value_options) {
            if (option.name != word) continue;
            if (++i == arguments.size()) {
                return fail(Errc::invalid, "usage", std::string(word) + " needs a value",
                            "see --help");
            }
            line.*option.member = arguments[i];
            known = true;
        }
        const bool is_file = !known && line.command == Command::import_azure && line.file.empty() &&
                             !word.starts_with('-');
        if (is_file) line.file = word;
        if (!known && !is_file) {
            return fail(Errc::invalid, "usage", "unknown word: " + std::string(word), "see --help");
        }
    }
    if (line.command == Command::import_azure && line.file.empty()) {
        return fail(Errc::invalid, "usage", "import-azure needs a file", "see --help");
    }
    const bool tells = line.command == Command::plan || line.command == Command::doctor;
    if (line.json && !tells) {
        return fail(Errc::invalid, "usage", "--json goes with plan and doctor", "see --help");
    }
    if (line.no_freeze && line.command != Command::doctor) {
        return fail(Errc::invalid, "usage", "--no-freeze goes with doctor", "see --help");
    }
    return line;
}

std::string_view help_text() {
    return R"(stillpoint-guest - brings this machine to a still point while its backup is taken

usage: stillpoint-guest [run] [--config FILE] [--channel PATH] [--log WHERE]
       stillpoint-guest plan [--config FILE] [--json]
       stillpoint-guest doctor [--config FILE] [--json] [--no-freeze]
       stillpoint-guest import-azure FILE

  run               serve the host (default)
  plan              print which filesystems would be frozen, and which not and why
  doctor            examine this machine, freeze and thaw each filesystem once to see
                    how long it takes, and say what to repair
  import-azure      print the guest.xml that does what FILE, the script configuration of
                    Azure's backup extension (VMSnapshotScriptPluginConfig.json), says;
                    what is not carried over is said on standard error
  --config FILE     configuration; default /etc/stillpoint/guest.xml
  --channel PATH    a character device or unix socket to talk over, in place of the
                    virtio-serial port org.stillpoint.guest.0
  --log WHERE       stderr (default), kmsg or a file
  --json            plan, doctor: one JSON document
  --no-freeze       doctor: without freezing anything
  --version         print the version
  --help, -h        print this text

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 the doctor found something to
repair.
)";
}

}  // namespace stillpoint::linux_guest
