// The frame reader: whatever the bytes and however they are cut, it gives back only frames that
// stand in the input, accounts for every byte and always has room for more.
#include <algorithm>

#include "base/crc32c.hpp"
#include "fuzz.hpp"
#include "serialization/frame.hpp"

namespace stillpoint::fuzz {
namespace {

/// Gives each whole frame in the input a right checksum: no mutation would ever hit one.
Bytes repaired(ByteView input) {
    Bytes out = to_bytes(input);
    constexpr std::size_t crc_at = serialization::frame_header_bytes - 4;
    for (std::size_t at = 0; at + serialization::frame_header_bytes <= out.size(); ++at) {
        if (as_text(ByteView{out}.subspan(at, 4)) != "SPF1") continue;
        const std::uint32_t length = *ByteReader{ByteView{out}.subspan(at + crc_at - 4, 4)}.u32();
        if (length > out.size() - at - serialization::frame_header_bytes) continue;
        const auto payload = ByteView{out}.subspan(at + serialization::frame_header_bytes, length);
        Bytes crc;
        ByteWriter{crc}.u32(crc32c(payload, crc32c(ByteView{out}.subspan(at, crc_at))));
        std::copy(crc.begin(), crc.end(), out.begin() + static_cast<std::ptrdiff_t>(at + crc_at));
    }
    return out;
}

void read_all(ByteView input, std::size_t piece_bytes) {
    serialization::FrameReader reader;
    std::size_t fed = 0;
    std::size_t in_frames = 0;
    const auto drain = [&] {
        while (const auto frame = reader.next()) {
            const Bytes whole = serialization::encode_frame(*frame);
            const std::size_t at = reader.position() - whole.size();
            SP_CHECK(std::equal(whole.begin(), whole.end(), input.subspan(at).begin()));
            in_frames += whole.size();
        }
        SP_CHECK(reader.room() > 0);
        SP_CHECK(reader.position() == reader.skipped_bytes() + in_frames);
        SP_CHECK(reader.position() <= fed);
    };
    while (fed < input.size()) {
        const std::size_t count = std::min({piece_bytes, reader.room(), input.size() - fed});
        reader.feed(input.subspan(fed, count));
        fed += count;
        drain();
    }
    reader.give_up_partial();
    drain();
    SP_CHECK(fed - reader.position() < serialization::frame_header_bytes);
}

}  // namespace

void fuzz_one(ByteView input) {
    if (input.empty()) return;
    const auto piece = 8 * std::to_integer<std::size_t>(input.front());
    const ByteView stream = input.subspan(1);
    read_all(stream, piece + 1);
    read_all(stream, input.size());
    read_all(repaired(stream), piece + 1);
}

}  // namespace stillpoint::fuzz
