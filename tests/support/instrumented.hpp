#pragma once

namespace stillpoint::test {

/// How many times longer things take that look at every byte, when sanitizers watch and nothing is
/// optimized. For deadlines and amounts in tests that use the real clock.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr int slowness = 5;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr int slowness = 5;
#else
inline constexpr int slowness = 1;
#endif
#else
inline constexpr int slowness = 1;
#endif

}  // namespace stillpoint::test
