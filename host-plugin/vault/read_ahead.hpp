#pragma once
#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "vault/block_store.hpp"
#include "vault/pack_format.hpp"

namespace stillpoint::vault {

/// Reads records of packs, and their neighbours with them where those are asked for, too: a disk is
/// read from its beginning, and its blocks lie in packs about as they were written. A store then
/// takes a call for a window of records, not for each.
///
/// A pack is cut into windows of one length. The first record that is asked for in one is read
/// alone, unless the window before it was brought; the second brings the whole window. Scattered
/// records so cost what they are. Who asks for what is on its way waits for it.
/// @threads any, concurrently
class ReadAhead {
public:
    struct Limits {
        std::uint64_t window_bytes;
        std::uint64_t kept_bytes;  // of windows; those that are on their way come on top
    };
    /// Long windows where each call takes a while, else what a disk reads in one go.
    [[nodiscard]] static Limits limits_for(const BlockStore& store);

    /// A record's sealed bytes.
    struct Piece {
        std::shared_ptr<const Bytes> owner;
        ByteView bytes;
    };

    explicit ReadAhead(Limits limits) : limits_(limits) {}

    /// @param slot below the number of the directory's entries
    /// @errors those of the store's get() for the record alone
    [[nodiscard]] Result<Piece> get(BlockStore& store, const PackName& pack,
                                    const PackDirectory& directory, std::uint32_t slot);
    /// What is kept of a pack is read again when it is asked for.
    void forget(const PackName& pack);

private:
    using Key = std::pair<PackName, std::uint64_t>;  // and the window's number
    enum class State { touched, reading, kept, alone };
    struct Window {
        State state = State::touched;
        std::uint64_t begin = 0;       // of the first record in it
        std::shared_ptr<Bytes> bytes;  // of State::kept
        std::list<Key>::iterator age;
    };
    using WindowPtr = std::shared_ptr<Window>;

    /// @return null: nobody has asked for it before, or for the one before it
    WindowPtr touch(const Key& key);
    [[nodiscard]] bool is_wanted(const Key& key) const;
    Bytes take_spare();
    void settle(Window& window, std::uint64_t begin, Result<Bytes> got);
    void evict();

    const Limits limits_;
    std::mutex mutex_;  // guards what follows
    std::condition_variable settled_;
    std::map<Key, WindowPtr> windows_;
    std::list<Key> newest_first_;
    std::uint64_t kept_bytes_ = 0;
    std::vector<Bytes> spare_;  // memory of windows that went: new memory has to be cleared
};

}  // namespace stillpoint::vault
