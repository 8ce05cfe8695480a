#pragma once
#include <optional>

#include "hooks/command_line.hpp"
#include "os/handle.hpp"

namespace stillpoint::windows_guest::os {

/// A child that inherits nothing but its streams.
/// @threads one
class ChildProcess {
public:
    struct Order {
        CommandLine line;
        std::string environment;  // a block (environment_block)
        std::string folder;       // that it starts in
        HANDLE output = nullptr;  // its standard output and error, inheritable
    };
    /// Its first thread waits for `resume`.
    static Result<ChildProcess> start_suspended(const Order& order);
    [[nodiscard]] HANDLE process() const { return process_.get(); }
    [[nodiscard]] Status resume() const;
    /// @return nullopt: it runs
    [[nodiscard]] std::optional<DWORD> exit_code() const;
    void kill() const noexcept;

private:
    Handle process_;
    Handle thread_;
};

}  // namespace stillpoint::windows_guest::os
