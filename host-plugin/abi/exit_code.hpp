#pragma once
#include "base/result.hpp"
#include "serialization/reports.hpp"

/// The exit codes of DESIGN section 11.
namespace stillpoint::abi {

inline constexpr int exit_done = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_warnings = 3;  // done, but below what was asked
inline constexpr int exit_damage = 4;
inline constexpr int exit_cancelled = 130;

[[nodiscard]] constexpr int exit_code_of(Errc code) {
    switch (code) {
        case Errc::invalid:
            return exit_usage;
        case Errc::corrupt:
            return exit_damage;
        case Errc::cancelled:
            return exit_cancelled;
        case Errc::io:
        case Errc::not_found:
        case Errc::unsupported:
        case Errc::timeout:
        case Errc::busy:
        case Errc::denied:
        case Errc::no_space:
        case Errc::refused:
            return exit_failed;
    }
    return exit_failed;
}

/// What a finished job hands to the manager.
struct JobResult {
    int exit_code = exit_done;
    serialization::Value document;
};

[[nodiscard]] inline serialization::Value error_document(const Error& error) {
    const serialization::ErrorReport report{
        .code = error.id, .text = error.text, .remedy = error.remedy};
    return serialization::Map{{"error", serialization::to_value(report)}};
}

}  // namespace stillpoint::abi
