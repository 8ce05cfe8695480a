#include "vault/watched_store.hpp"

namespace stillpoint::vault {
namespace {

std::string in_seconds(env::Nanoseconds time) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

}  // namespace

Result<std::unique_ptr<BlockStore>> WatchedStore::open(const std::string& name, Open open,
                                                       const StoreWatch& watch) {
    // Before anything else of this process is open: a thread never sees its descriptors.
    SP_ASSIGN(auto calls, env::BlockingCalls::create({}, watch.cancel));
    std::unique_ptr<WatchedStore> store{new WatchedStore{name, watch, std::move(calls)}};
    using Opened = std::shared_ptr<BlockStore>;
    SP_ASSIGN(store->store_,
              store->watched<Opened>("open it", [open = std::move(open)]() -> Result<Opened> {
                  SP_ASSIGN(auto below, open());
                  return Opened{std::move(below)};
              }));
    return std::unique_ptr<BlockStore>{std::move(store)};
}

template <class T>
Result<T> WatchedStore::watched(const std::string& doing, std::function<Result<T>()> act) {
    {
        const std::scoped_lock lock{mutex_};
        if (broken_) return fail(*broken_);
    }
    auto answer = calls_->run<Result<T>>(std::move(act), watch_.stall_max);
    if (answer) return std::move(*answer);
    return fail(give_up(doing));
}

template <class T>
Result<T> WatchedStore::below(const std::string& doing, std::function<Result<T>(BlockStore&)> act) {
    return watched<T>(doing, [store = store_, act = std::move(act)] { return act(*store); });
}

Error WatchedStore::give_up(const std::string& doing) {
    const std::scoped_lock lock{mutex_};
    if (broken_) return *broken_;
    if (const Status wish = watch_.cancel.check(); !wish) {
        broken_ = in_step("store " + name_ + " did not answer (" + doing + ")", wish.error());
    } else {
        broken_ = Error{Errc::timeout, "vault.store_stalled",
                        "the store " + name_ + " did not finish to " + doing + " within " +
                            in_seconds(watch_.stall_max),
                        "see whether it still answers: its disk, its network, its server"};
    }
    return *broken_;
}

Status WatchedStore::put(const std::string& name, ByteView bytes) {
    // The caller's bytes may be gone before a call that hangs looks at them.
    const auto copy = std::make_shared<const Bytes>(bytes.begin(), bytes.end());
    return put_shared(name, *copy, copy);
}

Status WatchedStore::put_shared(const std::string& name, ByteView bytes,
                                const std::shared_ptr<const void>& owner) {
    return below<void>("put " + name, [name, bytes, owner](BlockStore& store) {
        return store.put_shared(name, bytes, owner);
    });
}

Result<Bytes> WatchedStore::get(const std::string& name, ByteOffset at, ByteCount length) {
    return below<Bytes>("get " + name, [name, at, length](BlockStore& store) {
        return store.get(name, at, length);
    });
}

Result<Bytes> WatchedStore::get_reusing(const std::string& name, ByteOffset at, ByteCount length,
                                        Bytes spent) {
    // A call that hangs keeps the memory that it may still write to.
    const auto kept = std::make_shared<Bytes>(std::move(spent));
    return below<Bytes>("get " + name, [name, at, length, kept](BlockStore& store) {
        return store.get_reusing(name, at, length, std::move(*kept));
    });
}

Result<ObjectEnd> WatchedStore::get_end(const std::string& name, ByteCount most) {
    return below<ObjectEnd>("get " + name,
                            [name, most](BlockStore& store) { return store.get_end(name, most); });
}

Result<ByteCount> WatchedStore::size(const std::string& name) {
    return below<ByteCount>("look at " + name,
                            [name](BlockStore& store) { return store.size(name); });
}

Result<std::vector<ObjectInfo>> WatchedStore::list(const std::string& prefix) {
    return below<std::vector<ObjectInfo>>(
        "list " + prefix, [prefix](BlockStore& store) { return store.list(prefix); });
}

Status WatchedStore::remove(const std::string& name) {
    return below<void>("remove " + name, [name](BlockStore& store) { return store.remove(name); });
}

}  // namespace stillpoint::vault
