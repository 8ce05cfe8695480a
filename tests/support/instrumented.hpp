#pragma once

namespace stillpoint::test {

/// Whether a sanitizer watches.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool instrumented = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool instrumented = true;
#else
inline constexpr bool instrumented = false;
#endif
#else
inline constexpr bool instrumented = false;
#endif

/// How many times longer things take that look at every byte, when sanitizers watch and nothing is
/// optimized. For deadlines and amounts in tests that use the real clock.
inline constexpr int slowness = instrumented ? 5 : 1;

}  // namespace stillpoint::test
