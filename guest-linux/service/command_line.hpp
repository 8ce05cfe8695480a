#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "service/guest_config.hpp"

namespace stillpoint::linux_guest {

enum class Command { run, plan, doctor, import_azure, version, help };

/// What the command line asks for.
struct CommandLine {
    Command command = Command::run;
    std::string config{guest_config_path};
    std::string channel;         // empty: the virtio-serial port
    std::string log = "stderr";  // or kmsg, or a file
    std::string file;            // what import-azure reads
    bool json = false;
    bool no_freeze = false;  // doctor: without the dry run
};

/// @errors invalid, id "usage": an unknown word or a missing value, with what is accepted
[[nodiscard]] Result<CommandLine> parse_command_line(std::span<const char* const> arguments);

/// The text of --help; the manual page is tested against its options.
[[nodiscard]] std::string_view help_text();

}  // namespace stillpoint::linux_guest
