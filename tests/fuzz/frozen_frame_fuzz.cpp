// The message that a Windows guest prepares before its hold: with its times filled in it is, byte
// for byte, what would be encoded then, whatever stands in it. The host's lease and the names of
// volumes come from outside.
#include <algorithm>

#include "fuzz.hpp"
#include "service/frozen_frame.hpp"

namespace stillpoint::fuzz {
namespace {

constexpr std::uint64_t least_stamp = 1ull << 32;  // as os::now() gives

/// A stamp that the clock could give: not below the least, not above the largest.
std::int64_t stamp(std::uint64_t raw) {
    return static_cast<std::int64_t>(std::max(raw >> 1, least_stamp));
}

}  // namespace

/// Session, two times and a sequence number (8, 8, 8 and 4 bytes), then an encoded Frozen.
void fuzz_one(ByteView input) {
    ByteReader reader{input};
    const auto session = reader.u64();
    const auto first = reader.u64();
    const auto frozen = reader.u64();
    const auto sequence = reader.u32();
    if (!session || !first || !frozen || !sequence) return;
    const auto decoded = serialization::decode_message(*reader.take(reader.left()));
    if (!decoded || !std::holds_alternative<serialization::Frozen>(*decoded)) return;
    auto message = std::get<serialization::Frozen>(*decoded);
    windows_guest::FrozenFrame frame{*session, message};
    for (const std::uint32_t again : {*sequence, ~*sequence}) {
        message.first_freeze_ns = stamp(*first ^ again);
        message.frozen_ns = stamp(*frozen);
        const Bytes whole =
            serialization::encode_frame({*session, again, serialization::encode_message(message)});
        SP_CHECK(std::ranges::equal(frame.fill(again, message.first_freeze_ns, message.frozen_ns),
                                    whole));
    }
}

}  // namespace stillpoint::fuzz
