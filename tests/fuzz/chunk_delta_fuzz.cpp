// A chunk's difference from any base, as somebody with the vault's key could have sealed it:
// bounded, and what the writer makes of the outcome gives the same bytes back.
#include "chunk/delta.hpp"
#include "fuzz.hpp"

namespace stillpoint::fuzz {

void fuzz_one(ByteView input) {
    if (input.size() < 4) return;
    ByteReader head{input};
    const std::size_t base_bytes = head.u16().value(), plain_bytes = head.u16().value();
    const ByteView rest = input.subspan(4);
    const ByteView base = rest.first(std::min(base_bytes, rest.size()));
    const ByteView payload = rest.subspan(base.size());
    static const chunk::DeltaCodec codec;
    const auto plaintext = codec.decompress(base, payload, plain_bytes);
    if (!plaintext) return;
    SP_CHECK(plaintext->size() == plain_bytes);
    Bytes scratch;
    const auto again = codec.compress(base, *plaintext, plain_bytes + 1024, scratch);
    SP_CHECK(again && codec.decompress(base, *again, plain_bytes).value() == *plaintext);
}

}  // namespace stillpoint::fuzz
