#pragma once
#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/check.hpp"

// A target defines one function: void fuzz_one(ByteView input). It feeds hostile bytes to a parser
// and SP_CHECKs what must hold of whatever is accepted. Include this header once, in the target's
// only file.

namespace stillpoint::fuzz {
void fuzz_one(ByteView input);
}  // namespace stillpoint::fuzz

// The name and signature are libFuzzer's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    stillpoint::fuzz::fuzz_one(std::as_bytes(std::span(data, size)));
    return 0;
}
