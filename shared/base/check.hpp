#pragma once

namespace stillpoint {

/// Prints the broken assumption and aborts; never returns.
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace stillpoint

/// Active in release builds: a broken assumption must not reach a disk.
#define SP_CHECK(cond) ((cond) ? void() : ::stillpoint::check_failed(#cond, __FILE__, __LINE__))
