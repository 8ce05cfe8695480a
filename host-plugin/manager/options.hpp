#pragma once
#include <optional>
#include <string>

#include "serialization/value.hpp"

/// The command line of DESIGN section 11, parsed into one request.
namespace stillpoint::manager {

struct CommandLine {
    std::string plugin;  // --plugin
    std::string config;  // --config
    bool json = false;
    int verbosity = 0;                  // -v, -vv
    bool wants_new_passphrase = false;  // vault init: asked twice at a terminal
    serialization::Value request;
};

/// What parsing ended with: a command, or an exit code (help, version, usage error) already
/// printed.
struct ParseOutcome {
    std::optional<CommandLine> command;
    int exit_code = 0;
};

[[nodiscard]] ParseOutcome parse_command_line(int argc, const char* const* argv);

}  // namespace stillpoint::manager
