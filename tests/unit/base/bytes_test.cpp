#include "base/bytes.hpp"

#include <doctest/doctest.h>

#include "base/crc32c.hpp"
#include "base/hex.hpp"

using namespace stillpoint;

TEST_CASE("base/bytes: what a writer wrote a reader reads back") {
    Bytes buffer;
    ByteWriter{buffer}
        .u8(1)
        .u16(0x0203)
        .u32(0x04050607)
        .u64(0x08090a0b0c0d0e0f)
        .sized(as_bytes("xyz"));
    ByteReader reader{buffer};
    CHECK(reader.u8().value() == 1);
    CHECK(reader.u16().value() == 0x0203);
    CHECK(reader.u32().value() == 0x04050607);
    CHECK(reader.u64().value() == 0x08090a0b0c0d0e0f);
    CHECK(as_text(reader.sized(3).value()) == "xyz");
    CHECK(reader.finish());
}

TEST_CASE("base/bytes: refuses to read past the end, over a limit, or to ignore a tail") {
    const Bytes three(3);
    ByteReader reader{three};
    CHECK(reader.u32().error().id == "bytes.short");
    CHECK(reader.finish().error().id == "bytes.trailing");
    Bytes long_one;
    ByteWriter{long_one}.sized(as_bytes("four"));
    CHECK(ByteReader{long_one}.sized(3).error().id == "bytes.too_long");
}

TEST_CASE("base/hex: round trip; upper case and odd lengths are refused") {
    CHECK(to_hex(from_hex("00ff10").value()) == "00ff10");
    CHECK_FALSE(from_hex("0"));
    CHECK_FALSE(from_hex("AA"));
}

TEST_CASE("base/crc32c: RFC 3720 vectors, both implementations, in pieces") {
    const Bytes zeros(32);
    CHECK(crc32c(zeros) == 0x8a9136aa);
    CHECK(crc32c_table(zeros) == 0x8a9136aa);
    CHECK(crc32c(as_bytes("123456789")) == 0xe3069283);
    CHECK(crc32c(as_bytes("56789"), crc32c(as_bytes("1234"))) == 0xe3069283);
}
