#include "chunk/lanes.hpp"

#include <intel-ipsec-mb.h>

#include <algorithm>

#include "chunk/pieces.hpp"
#include "chunk/pool.hpp"

namespace stillpoint::chunk::lanes {
namespace {

constexpr std::size_t block_bytes = 64;  // of SHA-256

struct ManagerDeleter {
    void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
};

/// 200 KB and 0.3 ms each, so that they are kept.
auto borrow_manager() {
    static ContextPool<IMB_MGR, ManagerDeleter> pool;
    return pool.borrow([]() -> IMB_MGR* {
        IMB_MGR* manager = alloc_mb_mgr(0);
        if (manager != nullptr) init_mb_mgr_auto(manager, nullptr);
        return manager;
    });
}

const std::uint8_t* octets(ByteView bytes) {
    return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

/// SHA-256's state after a block that is the key with each byte XORed.
SecretKey state_after(IMB_MGR* manager, const SecretKey& key, std::byte pad) {
    std::array<std::byte, block_bytes> block{};
    std::copy(key.view().begin(), key.view().end(), block.begin());
    for (std::byte& byte : block) byte ^= pad;
    SecretKey state;
    IMB_SHA256_ONE_BLOCK(manager, block.data(), state.writable().data());
    wipe(block);
    return state;
}

/// @return how many jobs of those given were done
std::size_t done_of(IMB_JOB* job, IMB_MGR* manager) {
    std::size_t done = 0;
    for (; job != nullptr; job = IMB_GET_COMPLETED_JOB(manager)) {
        done += job->status == IMB_STATUS_COMPLETED ? 1 : 0;
    }
    return done;
}

/// Gives each piece to the manager as a job that `describe` completes.
template <class Describe>
bool run(ByteView message, std::size_t each, std::span<Digest> digests, const Describe& describe) {
    if (each > piece_bytes_max) return false;
    const auto loan = borrow_manager();
    IMB_MGR* manager = loan.get();
    if (manager == nullptr || imb_get_errno(manager) != 0) return false;
    std::size_t done = 0;
    for (std::size_t i = 0; i < digests.size(); ++i) {
        const ByteView piece = piece_of(message, each, i);
        IMB_JOB* job = IMB_GET_NEXT_JOB(manager);
        *job = {};
        job->cipher_mode = IMB_CIPHER_NULL;
        job->cipher_direction = IMB_DIR_ENCRYPT;
        job->chain_order = IMB_ORDER_HASH_CIPHER;
        job->src = octets(piece);
        job->msg_len_to_hash_in_bytes = piece.size();
        job->auth_tag_output = reinterpret_cast<std::uint8_t*>(digests[i].data());
        job->auth_tag_output_len_in_bytes = sizeof(Digest);
        describe(*job);
        done += done_of(IMB_SUBMIT_JOB(manager), manager);
    }
    while (IMB_JOB* job = IMB_FLUSH_JOB(manager)) done += done_of(job, manager);
    return done == digests.size();
}

}  // namespace

bool sha256(ByteView message, std::size_t each, std::span<Digest> digests) {
    return run(message, each, digests, [](IMB_JOB& job) { job.hash_alg = IMB_AUTH_SHA_256; });
}

std::optional<HmacKey> hmac_key(const SecretKey& key) {
    const auto manager = borrow_manager();
    if (manager.get() == nullptr || imb_get_errno(manager.get()) != 0) return std::nullopt;
    return HmacKey{state_after(manager.get(), key, std::byte{0x36}),
                   state_after(manager.get(), key, std::byte{0x5c})};
}

bool hmac(const HmacKey& key, ByteView message, std::size_t each, std::span<Digest> tags) {
    return run(message, each, tags, [&](IMB_JOB& job) {
        job.hash_alg = IMB_AUTH_HMAC_SHA_256;
        job.u.HMAC._hashed_auth_key_xor_ipad = octets(key.inner.view());
        job.u.HMAC._hashed_auth_key_xor_opad = octets(key.outer.view());
    });
}

}  // namespace stillpoint::chunk::lanes
