#pragma once
#include <cstdint>

#include "base/bytes.hpp"

namespace stillpoint {

/// CRC-32C (Castagnoli) of the bytes; `seed` continues an earlier result.
/// Uses SSE4.2 when the CPU has it (asked at run time: qemu64 has not), a table otherwise.
/// @source RFC 3720 appendix B.4 (polynomial 0x1EDC6F41, reflected)
[[nodiscard]] std::uint32_t crc32c(ByteView bytes, std::uint32_t seed = 0);

/// The portable implementation, for comparison in tests.
[[nodiscard]] std::uint32_t crc32c_table(ByteView bytes, std::uint32_t seed = 0);

}  // namespace stillpoint
