#include "chunk/lanes.hpp"

#include <algorithm>

#include "chunk/multi_buffer.hpp"
#include "chunk/pieces.hpp"

namespace stillpoint::chunk::lanes {
namespace {

using multi_buffer::borrow_manager;
using multi_buffer::octets;
using multi_buffer::ready;

constexpr std::size_t block_bytes = 64;  // of SHA-256

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
    if (!ready(manager)) return false;
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
        job->auth_tag_output = octets(std::span<std::byte>{digests[i]});
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
    if (!ready(manager.get())) return std::nullopt;
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
