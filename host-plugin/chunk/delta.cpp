#include "chunk/delta.hpp"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.hpp"
#include "base/limits.hpp"
#include "chunk/compress.hpp"
#include "chunk/pool.hpp"

namespace stillpoint::chunk {
namespace {

constexpr std::size_t page_bytes = 4096;  // of file systems and most databases
constexpr std::size_t alike_share = 4;    // one page of so many

struct CompressDeleter {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct DecompressDeleter {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

bool set(ZSTD_CCtx* context, ZSTD_cParameter parameter, int value) {
    return ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value)) == 0;
}

/// All of the base is to be in reach from the last byte of the plaintext.
int window_log(ByteView base, ByteView plaintext) {
    const int bits = static_cast<int>(std::bit_width(base.size() + plaintext.size()));
    return std::clamp(bits, 10, 22);
}
static_assert(std::size_t{1} << 21 >= 2 * std::size_t{limits::chunk_bytes_max});

}  // namespace

bool alike(ByteView base, ByteView plaintext) {
    const std::size_t common = std::min(base.size(), plaintext.size());
    std::size_t pages = 0, same = 0;
    for (std::size_t at = 0; at + page_bytes <= common; at += page_bytes) {
        ++pages;
        if (std::memcmp(base.data() + at, plaintext.data() + at, page_bytes) == 0) ++same;
    }
    return pages > 0 && same * alike_share >= pages;
}

class DeltaCodec::Pool {
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

DeltaCodec::DeltaCodec() : pool_(std::make_unique<Pool>()) {}
DeltaCodec::~DeltaCodec() = default;

std::optional<ByteView> DeltaCodec::compress(ByteView base, ByteView plaintext,
                                             std::size_t bytes_max, Bytes& scratch) const {
    if (scratch.size() < bytes_max) scratch.resize(bytes_max);
    const auto loan = pool_->compressing();
    ZSTD_CCtx* context = loan.get();
    SP_CHECK(context != nullptr);
    // A call that was given up may have left its base behind.
    ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
    const bool ready = set(context, ZSTD_c_compressionLevel, zstd_level) &&
                       set(context, ZSTD_c_windowLog, window_log(base, plaintext)) &&
                       ZSTD_isError(ZSTD_CCtx_refPrefix(context, base.data(), base.size())) == 0;
    SP_CHECK(ready);
    const std::size_t n =
        ZSTD_compress2(context, scratch.data(), bytes_max, plaintext.data(), plaintext.size());
    if (ZSTD_isError(n) != 0) return std::nullopt;
    return ByteView{scratch}.first(n);
}

Result<Bytes> DeltaCodec::decompress(ByteView base, ByteView payload,
                                     std::size_t plain_bytes) const {
    const auto broken = [] {
        return fail(Errc::corrupt, "chunk.encoding",
                    "a chunk's payload does not decode to the length it should have");
    };
    if (plain_bytes > limits::chunk_bytes_max) return broken();
    Bytes out(plain_bytes);
    const auto loan = pool_->decompressing();
    ZSTD_DCtx* context = loan.get();
    SP_CHECK(context != nullptr);
    ZSTD_DCtx_reset(context, ZSTD_reset_session_and_parameters);
    SP_CHECK(ZSTD_isError(ZSTD_DCtx_refPrefix(context, base.data(), base.size())) == 0);
    const std::size_t n =
        ZSTD_decompressDCtx(context, out.data(), out.size(), payload.data(), payload.size());
    if (ZSTD_isError(n) != 0 || n != plain_bytes) return broken();
    return out;
}

}  // namespace stillpoint::chunk
