#include "chunk/compress.hpp"

#include <lz4.h>
#include <zstd.h>

#include "base/check.hpp"
#include "base/limits.hpp"
#include "chunk/pool.hpp"

namespace stillpoint::chunk {
namespace {

struct CompressDeleter {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct DecompressDeleter {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// The room given is what the result may have at most; compressors give up early when it is short.
std::size_t kept_bytes_max(std::size_t plain_bytes) {
    return plain_bytes - (plain_bytes + saving_divisor - 1) / saving_divisor;
}

const char* chars(ByteView bytes) {
    return reinterpret_cast<const char*>(bytes.data());
}

tl::unexpected<Error> broken() {
    return fail(Errc::corrupt, "chunk.encoding",
                "a chunk's payload does not decode to the length it should have");
}

}  // namespace

class Compressor::Pool {
public:
    auto compressing() {
        return compressing_.borrow([] { return ZSTD_createCCtx(); });
    }
    auto decompressing() {
        return decompressing_.borrow([] { return ZSTD_createDCtx(); });
    }

private:
    ContextPool<ZSTD_CCtx, CompressDeleter> compressing_;
    ContextPool<ZSTD_DCtx, DecompressDeleter> decompressing_;
};

Compressor::Compressor() : pool_(std::make_unique<Pool>()) {}
Compressor::~Compressor() = default;

Payload Compressor::compress(CompressionPolicy policy, ByteView plaintext, Bytes& scratch) const {
    const Payload raw{Codec::raw, plaintext};
    const std::size_t room = kept_bytes_max(plaintext.size());
    if (policy == CompressionPolicy::none || room == 0) return raw;
    if (policy == CompressionPolicy::lz4) {
        if (scratch.size() < room) scratch.resize(room);
        const int n =
            LZ4_compress_default(chars(plaintext), reinterpret_cast<char*>(scratch.data()),
                                 static_cast<int>(plaintext.size()), static_cast<int>(room));
        if (n <= 0) return raw;
        return {Codec::lz4, ByteView{scratch}.first(static_cast<std::size_t>(n))};
    }
    // zstd is faster with room to spare than when it must watch for the end of the buffer.
    const std::size_t bound = ZSTD_compressBound(plaintext.size());
    if (scratch.size() < bound) scratch.resize(bound);
    const auto context = pool_->compressing();
    SP_CHECK(context.get() != nullptr);
    const std::size_t n = ZSTD_compressCCtx(context.get(), scratch.data(), bound, plaintext.data(),
                                            plaintext.size(), zstd_level);
    if (ZSTD_isError(n) != 0 || n > room) return raw;
    return {Codec::zstd, ByteView{scratch}.first(n)};
}

Result<Bytes> Compressor::decompress(Codec codec, ByteView payload, std::size_t plain_bytes) const {
    if (plain_bytes > limits::chunk_bytes_max) return broken();
    if (codec == Codec::raw) {
        if (payload.size() != plain_bytes) return broken();
        return to_bytes(payload);
    }
    Bytes out(plain_bytes);
    if (codec == Codec::lz4) {
        const int n =
            LZ4_decompress_safe(chars(payload), reinterpret_cast<char*>(out.data()),
                                static_cast<int>(payload.size()), static_cast<int>(out.size()));
        if (n < 0 || static_cast<std::size_t>(n) != plain_bytes) return broken();
        return out;
    }
    if (codec == Codec::zstd) {
        const auto context = pool_->decompressing();
        SP_CHECK(context.get() != nullptr);
        const std::size_t n = ZSTD_decompressDCtx(context.get(), out.data(), out.size(),
                                                  payload.data(), payload.size());
        if (ZSTD_isError(n) != 0 || n != plain_bytes) return broken();
        return out;
    }
    return fail(Errc::unsupported, "chunk.codec",
                "chunk encoding " + std::to_string(static_cast<int>(codec)) + " is not known here",
                "use a newer version of Stillpoint");
}

}  // namespace stillpoint::chunk
