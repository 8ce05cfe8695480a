#include "vault/read_ahead.hpp"

#include <algorithm>

namespace stillpoint::vault {
namespace {

constexpr std::size_t windows_max = 4096;  // 128 bytes each, if nothing of them is kept
constexpr std::size_t spares_max = 4;

using Piece = ReadAhead::Piece;

Result<Piece> read_alone(BlockStore& store, const PackName& pack, const DirectoryEntry& entry) {
    SP_ASSIGN(Bytes bytes,
              store.get(pack.object(), ByteOffset{entry.offset}, ByteCount{entry.stored_bytes}));
    const auto owner = std::make_shared<const Bytes>(std::move(bytes));
    return Piece{owner, ByteView{*owner}};
}

/// The records that begin in a window, whole.
Extent records_of(const PackDirectory& directory, std::uint64_t window, std::uint64_t bytes) {
    const auto first_from = [&](std::uint64_t offset) {
        return std::partition_point(directory.entries.begin(), directory.entries.end(),
                                    [&](const auto& entry) { return entry.offset < offset; });
    };
    const std::uint64_t begin = first_from(window * bytes)->offset;
    const auto behind = first_from((window + 1) * bytes);
    const std::uint64_t end =
        behind == directory.entries.end() ? directory.records_end() : behind->offset;
    return {ByteOffset{begin}, ByteCount{end - begin}};
}

}  // namespace

ReadAhead::Limits ReadAhead::limits_for(const BlockStore& store) {
    const bool far = store.calls_at_once() > 1;
    return far ? Limits{.window_bytes = 4u << 20, .kept_bytes = 64u << 20}
               : Limits{.window_bytes = 1u << 20, .kept_bytes = 16u << 20};
}

Result<Piece> ReadAhead::get(BlockStore& store, const PackName& pack,
                             const PackDirectory& directory, std::uint32_t slot) {
    const DirectoryEntry& entry = directory.entries[slot];
    const Key key{pack, entry.offset / limits_.window_bytes};
    std::unique_lock lock{mutex_};
    const WindowPtr window = touch(key);
    if (!window) {
        lock.unlock();
        return read_alone(store, pack, entry);
    }
    if (window->state == State::touched) {
        window->state = State::reading;
        Bytes spare = take_spare();
        lock.unlock();
        const Extent records = records_of(directory, key.second, limits_.window_bytes);
        auto got = store.get_reusing(pack.object(), records.at, records.length, std::move(spare));
        lock.lock();
        settle(*window, records.at.raw(), std::move(got));
    }
    settled_.wait(lock, [&] { return window->state != State::reading; });
    if (window->state == State::kept) {
        const ByteView all{*window->bytes};
        return Piece{window->bytes, all.subspan(entry.offset - window->begin, entry.stored_bytes)};
    }
    lock.unlock();
    return read_alone(store, pack, entry);  // what cannot be read may be its neighbours
}

void ReadAhead::forget(const PackName& pack) {
    const std::scoped_lock lock{mutex_};
    for (auto& [key, window] : windows_) {
        if (key.first != pack || window->state != State::kept) continue;
        kept_bytes_ -= window->bytes->size();
        window = std::make_shared<Window>(Window{.age = window->age});
    }
}

ReadAhead::WindowPtr ReadAhead::touch(const Key& key) {
    const auto [found, fresh] = windows_.try_emplace(key);
    if (!fresh) {
        newest_first_.splice(newest_first_.begin(), newest_first_, found->second->age);
        return found->second;
    }
    newest_first_.push_front(key);
    const auto window = std::make_shared<Window>(Window{.age = newest_first_.begin()});
    found->second = window;
    evict();
    const bool follows = key.second > 0 && is_wanted({key.first, key.second - 1});
    return follows ? window : nullptr;
}

bool ReadAhead::is_wanted(const Key& key) const {
    const auto found = windows_.find(key);
    if (found == windows_.end()) return false;
    return found->second->state == State::reading || found->second->state == State::kept;
}

Bytes ReadAhead::take_spare() {
    if (spare_.empty()) return {};
    Bytes spare = std::move(spare_.back());
    spare_.pop_back();
    return spare;
}

/// @param window in State::reading; those that are being read are not evicted
void ReadAhead::settle(Window& window, std::uint64_t begin, Result<Bytes> got) {
    window.state = got ? State::kept : State::alone;
    if (got) {
        window.begin = begin;
        window.bytes = std::make_shared<Bytes>(std::move(*got));
        kept_bytes_ += window.bytes->size();
        evict();
    }
    settled_.notify_all();
}

/// The oldest go, but for those on their way.
void ReadAhead::evict() {
    for (auto oldest = newest_first_.end(); oldest != newest_first_.begin();) {
        if (kept_bytes_ <= limits_.kept_bytes && newest_first_.size() <= windows_max) return;
        --oldest;
        const auto found = windows_.find(*oldest);
        Window& window = *found->second;
        if (window.state == State::reading) continue;
        if (window.bytes) kept_bytes_ -= window.bytes->size();
        // Nobody waits for it or holds a piece of it: then its memory can serve again.
        const bool ours =
            window.bytes && window.bytes.use_count() == 1 && found->second.use_count() == 1;
        if (ours && spare_.size() < spares_max) spare_.push_back(std::move(*window.bytes));
        windows_.erase(found);
        oldest = newest_first_.erase(oldest);
    }
}

}  // namespace stillpoint::vault
