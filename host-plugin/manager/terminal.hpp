#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "serialization/reports.hpp"

/// What a person at a terminal sees and types.
namespace stillpoint::manager {

/// One line on stderr that is drawn over while a job runs; silent when stderr is no terminal.
/// @threads one (the plugin's event thread), then clear() after the job
class ProgressBar {
public:
    ProgressBar();
    void show(const serialization::ProgressEvent& event);
    void clear();

private:
    bool enabled_ = false;
    bool drawn_ = false;
    std::string label_;
    std::int64_t started_ns_ = 0;
    std::int64_t drawn_ns_ = 0;
};

/// Answers a signal to stop, on stderr: the clean-up that follows may take seconds. @threads any
void say_stopping();

/// Asks without echo. @return nullopt when there is no terminal
[[nodiscard]] std::optional<std::string> ask_passphrase(const std::string& prompt);

/// "1.5 GiB", "312 KiB", "0 B"
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);
/// "1.50" for (1.5, 2)
[[nodiscard]] std::string fixed(double value, int digits);

}  // namespace stillpoint::manager
