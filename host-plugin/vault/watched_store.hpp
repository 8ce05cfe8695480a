#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "env/blocking_calls.hpp"
#include "vault/block_store.hpp"
#include "vault/vault.hpp"

namespace stillpoint::vault {

/// Another store, of which no call is waited for longer than the stall limit, nor much longer than
/// a wish to stop. The first call that was given up ends the store: all later ones fail at once.
/// A put that was given up may still appear later.
/// @threads any, concurrently
class WatchedStore final : public BlockStore {
public:
    using Open = std::function<Result<std::unique_ptr<BlockStore>>()>;
    /// @param open makes the store below; it may hang, too
    /// @param name how errors call the store, e.g. its URL
    /// @errors timeout, id "vault.store_stalled" · cancelled · those of `open`
    static Result<std::unique_ptr<BlockStore>> open(const std::string& name, Open open,
                                                    const StoreWatch& watch);

    Status put(const std::string& name, ByteView bytes) override;
    Status put_shared(const std::string& name, ByteView bytes,
                      const std::shared_ptr<const void>& owner) override;
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override;
    Result<Bytes> get_reusing(const std::string& name, ByteOffset at, ByteCount length,
                              Bytes spent) override;
    Result<ObjectEnd> get_end(const std::string& name, ByteCount most) override;
    Result<ByteCount> size(const std::string& name) override;
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
    Status remove(const std::string& name) override;
    [[nodiscard]] std::string describe() const override { return name_; }
    [[nodiscard]] env::Nanoseconds stall_max() const override { return watch_.stall_max; }

private:
    WatchedStore(std::string name, const StoreWatch& watch,
                 std::unique_ptr<env::BlockingCalls> calls)
        : name_(std::move(name)), watch_(watch), calls_(std::move(calls)) {}
    template <class T>
    Result<T> watched(const std::string& doing, std::function<Result<T>()> act);
    template <class T>
    Result<T> below(const std::string& doing, std::function<Result<T>(BlockStore&)> act);
    Error give_up(const std::string& doing);

    std::string name_;
    StoreWatch watch_;
    std::shared_ptr<BlockStore> store_;  // a call that hangs keeps it
    std::mutex mutex_;
    std::optional<Error> broken_;  // guarded by the mutex
    std::unique_ptr<env::BlockingCalls> calls_;
};

}  // namespace stillpoint::vault
