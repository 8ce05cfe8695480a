#pragma once
#include "env/page_buffer.hpp"
#include "vault/pack_format.hpp"

namespace stillpoint::vault {

using PackBuffer = env::PageBuffer;  // config.pack_bytes long

/// A pack being filled in memory. Room is reserved one at a time; sealing into reserved room may
/// run on many threads at once.
/// @threads seal: any, concurrently; all others: under the owner's lock
class OpenPack {
public:
    OpenPack(const VaultCore& core, Content content, PackBuffer buffer);
    [[nodiscard]] Content content() const { return directory_.content; }
    [[nodiscard]] bool empty() const { return directory_.entries.empty(); }
    [[nodiscard]] bool fits(const chunk::Payload& payload) const;
    /// Takes the next slot. @return the entry with its offset; needs fits()
    DirectoryEntry reserve(const chunk::ChunkId& id, const chunk::Payload& payload,
                           std::uint32_t plain_bytes, std::uint32_t* slot);
    void seal(std::uint32_t slot, const DirectoryEntry& entry, const chunk::Payload& payload) const;
    /// Appends padding and directory, after every reserved slot was sealed.
    /// @return the pack's bytes, valid while this lives
    /// @errors corrupt, id "vault.pack_damaged": it does not read back; memory is not to be trusted
    Result<ByteView> complete();
    [[nodiscard]] PackDirectory take_directory() { return std::move(directory_); }
    [[nodiscard]] PackBuffer take_buffer() { return std::move(buffer_); }

private:
    const VaultCore& core_;
    PackBuffer buffer_;
    PackDirectory directory_;
    chunk::SealKey key_;
    std::size_t used_bytes_ = 0;
};

}  // namespace stillpoint::vault
