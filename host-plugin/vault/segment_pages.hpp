#pragma once
#include <string>

#include "vault/index_layout.hpp"

namespace stillpoint::vault {

/// The pages of one index segment, read from the store and proven by their seals.
/// @threads any, concurrently
class SegmentPages {
public:
    /// Reads header and summary, in one call of the store.
    /// @param core outlives this
    /// @param object_bytes length of the object, as the store lists it
    /// @param whole_max a segment that is no longer is read whole by that call, and kept
    /// @errors corrupt, id "vault.index_damaged": also where the length is not what the summary
    ///         promises · not_found: gone, gc merged it · io
    static Result<SegmentPages> open(const VaultCore& core, const std::string& name,
                                     ByteCount object_bytes, ByteCount whole_max = {});

    /// The content of pages [first, first+count), back to back, without their seals.
    /// @errors as open(); the text names segment and page
    [[nodiscard]] Result<Bytes> read(std::uint64_t first, std::uint64_t count) const;
    [[nodiscard]] const SegmentShape& shape() const { return shape_; }
    [[nodiscard]] const std::string& name() const { return name_; }
    /// For what the pages' seals do not find: an error that names the segment.
    [[nodiscard]] tl::unexpected<Error> damaged(const std::string& what) const;

private:
    SegmentPages(const VaultCore& core, const std::string& name, const Salt& salt);
    [[nodiscard]] Result<Bytes> unseal(std::uint64_t first, ByteView sealed) const;
    static Result<SegmentPages> open_once(const VaultCore& core, const std::string& name,
                                          ByteCount object_bytes, ByteCount whole_max);
    [[nodiscard]] Status take_summary(ByteView sealed, ByteCount object_bytes);

    const VaultCore& core_;
    std::string name_;
    chunk::SealKey key_;
    Bytes associated_;
    SegmentShape shape_;
    Bytes whole_;  // empty: not kept
};

/// The error of reading a segment, with its name; damage of any kind is "vault.index_damaged".
[[nodiscard]] Error segment_error(const std::string& name, const Error& cause);

}  // namespace stillpoint::vault
