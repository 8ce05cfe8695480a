#pragma once
#include <map>
#include <mutex>

#include "vault/block_store.hpp"
#include "vault/disk_cache.hpp"

namespace stillpoint::vault {

/// A store of which the metadata that was read or written before is kept on this host: recovery
/// points, index, and small parts of packs (directories, nodes of block maps). These never change
/// and are sealed, so that what is kept is as good as what the store has, and tells as little.
/// Only lists, and what is not kept, cost a round trip. Whether an object exists is never answered
/// from the cache, but for points and index segments that this process saw in a list.
/// For commands that read, and for backups. What changes, checks or repairs a vault asks the store.
/// docs/adr/0020. @threads any, concurrently
class CachedStore final : public BlockStore {
public:
    CachedStore(std::unique_ptr<BlockStore> below, DiskCache::Limits limits)
        : below_(std::move(below)), cache_(std::move(limits), below_->describe()) {}

    Status put(const std::string& name, ByteView bytes) override;
    Status put_shared(const std::string& name, ByteView bytes,
                      const std::shared_ptr<const void>& owner) override;
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override;
    Result<ObjectEnd> get_end(const std::string& name, ByteCount most) override;
    Result<ByteCount> size(const std::string& name) override;
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
    Status remove(const std::string& name) override;
    bool doubt(const std::string& name) override;
    [[nodiscard]] std::string describe() const override { return below_->describe(); }
    [[nodiscard]] env::Nanoseconds stall_max() const override { return below_->stall_max(); }
    [[nodiscard]] bool is_cached() const override { return true; }
    [[nodiscard]] unsigned calls_at_once() const override { return below_->calls_at_once(); }

private:
    void keep_whole(const std::string& name, ByteView bytes);
    void keep_size(const std::string& name, ByteCount bytes);
    /// What is known without asking the store.
    [[nodiscard]] std::optional<ByteCount> known_size(const std::string& name);
    [[nodiscard]] std::optional<Bytes> find(const std::string& name, ByteOffset at,
                                            ByteCount length);

    std::unique_ptr<BlockStore> below_;
    DiskCache cache_;
    std::mutex mutex_;                         // guards what follows
    std::map<std::string, ByteCount> listed_;  // points and segments, by name
    std::map<std::string, Bytes> config_;      // read twice by every command
};

}  // namespace stillpoint::vault
