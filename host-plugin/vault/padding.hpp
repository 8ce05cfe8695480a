#pragma once
#include <bit>
#include <cstdint>

/// Lengths that tell whoever runs the store little: docs/vault-format.md, section "Padding".
namespace stillpoint::vault {

inline constexpr std::uint64_t padding_unit_bytes = 4096;

/// The smallest number from n on whose bits are zeros but for the first few: at most an eighth more
/// than n, and it takes O(log log n) bits to tell which it is.
/// @source Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with
/// PURBs", PoPETs 2019, algorithm 1 (Padmé)
[[nodiscard]] constexpr std::uint64_t padme(std::uint64_t n) {
    if (n < 2) return n;
    const auto exponent = static_cast<unsigned>(std::bit_width(n) - 1);
    const auto significant = static_cast<unsigned>(std::bit_width(exponent));
    const std::uint64_t mask = (1ull << (exponent - significant)) - 1;
    return (n + mask) & ~mask;
}

/// What an object of so many bytes is padded to: whole units, their number by padme().
[[nodiscard]] constexpr std::uint64_t padded_bytes(std::uint64_t bytes) {
    return padme((bytes + padding_unit_bytes - 1) / padding_unit_bytes) * padding_unit_bytes;
}

}  // namespace stillpoint::vault
