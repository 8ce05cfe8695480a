#pragma once
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/quantity.hpp"
#include "env/clock.hpp"

namespace stillpoint::vault {

struct ObjectInfo {
    std::string name;
    ByteCount size;
    std::uint64_t modified_ns = 0;  // by the store's clock, since 1970; 0: it does not tell
};

/// The end of an object, or all of a short one.
struct ObjectEnd {
    Bytes bytes;
    ByteCount size;  // of the whole object
    [[nodiscard]] bool is_whole() const { return bytes.size() == size.raw(); }
};

/// A store that has not finished one pack of 32 MiB in this time will not.
inline constexpr env::Nanoseconds store_stall_default = std::chrono::minutes{10};

/// Where a vault's objects live. Names are relative, '/'-separated, [0-9a-z._-] only.
/// Objects are written once under their final name and never changed.
/// @threads any, concurrently
class BlockStore {
public:
    virtual ~BlockStore() = default;
    /// Durable (data and name) when it returns success; never visible in part.
    /// @errors busy, id "store.exists": the name is taken, nothing was changed · no_space · io
    virtual Status put(const std::string& name, ByteView bytes) = 0;
    /// Reads exactly [at, at+length).
    /// @errors not_found · corrupt, id "store.short": the object ends before · io
    virtual Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) = 0;
    /// As get(). @param spent memory that the answer may lie in: whoever reads large objects one
    /// after the other gives each answer back with the next call, and no page is made anew
    virtual Result<Bytes> get_reusing(const std::string& name, ByteOffset at, ByteCount length,
                                      Bytes spent) {
        spent = Bytes{};  // not `{}`, which keeps the memory
        return get(name, at, length);
    }
    /// Reads the last `most` bytes, or all where there are fewer; in one call where the store can,
    /// which spares a round trip wherever the size of an object is not known.
    /// @errors as get()
    virtual Result<ObjectEnd> get_end(const std::string& name, ByteCount most) {
        SP_ASSIGN(const ByteCount whole, size(name));
        const ByteCount length = std::min(most, whole);
        SP_ASSIGN(Bytes bytes, get(name, ByteOffset{whole.raw() - length.raw()}, length));
        return ObjectEnd{std::move(bytes), whole};
    }
    /// @errors not_found
    virtual Result<ByteCount> size(const std::string& name) = 0;
    /// All objects whose name starts with the prefix, sorted by name.
    virtual Result<std::vector<ObjectInfo>> list(const std::string& prefix) = 0;
    /// Durable when it returns success. Removing what is not there is success.
    virtual Status remove(const std::string& name) = 0;
    /// For people: URL or path.
    [[nodiscard]] virtual std::string describe() const = 0;
    /// As put(). A store that gives a call up before it has ended holds on to the owner of the
    /// bytes until it has.
    virtual Status put_shared(const std::string& name, ByteView bytes,
                              const std::shared_ptr<const void>& owner) {
        static_cast<void>(owner);
        return put(name, bytes);
    }
    /// What was read of an object turned out to be damaged. @return whether reading it again may
    /// give something else: a cache has forgotten what it had.
    virtual bool doubt(const std::string& name) {
        static_cast<void>(name);
        return false;
    }
    /// Whether what was read once is read again at no cost, piece by piece as it was asked for.
    [[nodiscard]] virtual bool is_cached() const { return false; }
    /// How long one call may take before the store counts as stalled. What enforces it is the store
    /// itself; others use it for waits that depend on several calls.
    [[nodiscard]] virtual env::Nanoseconds stall_max() const { return store_stall_default; }
    /// How many calls side by side are worth their threads where each is short: more than one where
    /// a call is mostly waiting for a network.
    [[nodiscard]] virtual unsigned calls_at_once() const { return 1; }
};

/// Reads an object and proves it; once more where a cache had it damaged.
/// @param read @return a Result whose error corrupt says that what was read is not what was written
template <class Read>
auto read_proven(BlockStore& store, const std::string& name, Read&& read) {
    auto proven = read();
    if (!proven && proven.error().code == Errc::corrupt && store.doubt(name)) return read();
    return proven;
}

}  // namespace stillpoint::vault
