#include "serialization/frame.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace stillpoint;
using namespace stillpoint::serialization;

namespace {

Frame frame_of(std::uint32_t sequence, std::string_view text) {
    return {0x1122334455667788, sequence, to_bytes(as_bytes(text))};
}

/// Feeds everything in pieces of at most `step` bytes and collects the frames.
std::vector<Frame> read_all(FrameReader& reader, ByteView in, std::size_t step = 1u << 16) {
    std::vector<Frame> frames;
    while (!in.empty()) {
        const auto piece = in.first(std::min({step, reader.room(), in.size()}));
        reader.feed(piece);
        in = in.subspan(piece.size());
        while (auto frame = reader.next()) frames.push_back(std::move(*frame));
    }
    return frames;
}

void append(Bytes& out, ByteView more) {
    out.insert(out.end(), more.begin(), more.end());
}

}  // namespace

TEST_CASE("serialization/frame: header layout is the documented one") {
    const Bytes bytes = encode_frame(frame_of(7, "abc"));
    REQUIRE(bytes.size() == frame_header_bytes + 3);
    ByteReader reader{bytes};
    CHECK(as_text(*reader.take(4)) == "SPF1");
    CHECK(*reader.u32() == 1);  // version 1, reserved 0 0 0
    CHECK(*reader.u64() == 0x1122334455667788);
    CHECK(*reader.u32() == 7);
    CHECK(*reader.u32() == 3);
}

TEST_CASE("serialization/frame: frames come back whole, also byte by byte") {
    Bytes stream;
    const std::vector<Frame> sent{frame_of(1, ""), frame_of(2, "SPF1"), frame_of(3, "hello")};
    for (const Frame& frame : sent) append(stream, encode_frame(frame));
    for (const std::size_t step : {std::size_t{1}, std::size_t{13}, stream.size()}) {
        FrameReader reader;
        CHECK(read_all(reader, stream, step) == sent);
        CHECK(reader.skipped_bytes() == 0);
    }
}

TEST_CASE("serialization/frame: a stream that starts in old data resynchronises and counts it") {
    const Bytes old = encode_frame(frame_of(9, "what an earlier session left"));
    Bytes stream = to_bytes(ByteView{old}.subspan(11));
    append(stream, as_bytes("SPSPFSPF1"));
    append(stream, encode_frame(frame_of(1, "new")));
    FrameReader reader;
    CHECK(read_all(reader, stream, 3) == std::vector{frame_of(1, "new")});
    CHECK(reader.skipped_bytes() == stream.size() - frame_header_bytes - 3);
}

TEST_CASE("serialization/frame: every single flipped bit loses that frame alone") {
    const Bytes good = encode_frame(frame_of(1, "payload"));
    const Bytes next = encode_frame(frame_of(2, "next"));
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        Bytes stream = good;
        stream[bit / 8] ^= std::byte{1} << (bit % 8);
        append(stream, next);
        // A flipped length may announce more than ever comes: only then is the wait given up.
        FrameReader reader;
        auto frames = read_all(reader, stream);
        if (frames.empty()) {
            reader.give_up_partial();
            while (auto frame = reader.next()) frames.push_back(std::move(*frame));
        }
        REQUIRE(frames == std::vector{frame_of(2, "next")});
        REQUIRE(reader.skipped_bytes() == good.size());
    }
}

TEST_CASE("serialization/frame: a foreign layout version and an oversized length are skipped") {
    Bytes other = encode_frame(frame_of(1, "x"));
    other[4] = std::byte{2};
    Bytes oversized = encode_frame(frame_of(1, "x"));
    oversized[23] = std::byte{0x7f};
    Bytes stream = other;
    append(stream, oversized);
    append(stream, encode_frame(frame_of(2, "y")));
    FrameReader reader;
    CHECK(read_all(reader, stream) == std::vector{frame_of(2, "y")});
    CHECK(reader.other_versions() == 1);
}

TEST_CASE("serialization/frame: the largest frame passes, also behind a torn one") {
    const Frame large{1, 2, Bytes(limits::frame_bytes_max, std::byte{0x5a})};
    Bytes stream = to_bytes(ByteView{encode_frame(large)}.first(1000));
    for (int i = 0; i < 3; ++i) append(stream, encode_frame(large));
    FrameReader reader;
    auto frames = read_all(reader, stream, 4096);
    CHECK(frames.size() == 3);
    CHECK(reader.damaged_frames() == 1);
}

TEST_CASE(
    "serialization/frame: nested forged headers cost linear work, then sound frames pass again") {
    // Each header announces a megabyte: without a budget this would checksum some 100 GB.
    Bytes forged;
    ByteWriter writer{forged};
    while (forged.size() < 3 * limits::frame_bytes_max) {
        writer.raw(as_bytes("SPF1")).u32(frame_version).u64(1).u32(1).u32(1u << 20);
    }
    FrameReader reader;
    CHECK(read_all(reader, forged).empty());
    CHECK(reader.damaged_frames() < 64);
    const Bytes sound = encode_frame({1, 1, Bytes(limits::frame_bytes_max)});
    CHECK(read_all(reader, sound).size() + read_all(reader, sound).size() >= 1);
}
