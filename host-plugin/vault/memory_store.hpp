#pragma once
#include <map>
#include <mutex>

#include "env/clock.hpp"
#include "vault/block_store.hpp"

namespace stillpoint::vault {

/// Objects in memory: for tests and for trying things out.
class MemoryStore final : public BlockStore {
public:
    Status put(const std::string& name, ByteView bytes) override;
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override;
    Result<ByteCount> size(const std::string& name) override;
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
    Status remove(const std::string& name) override;
    [[nodiscard]] std::string describe() const override { return "memory"; }
    /// From now on objects remember when they were put. @param clock outlives the store's use
    void keep_times(const env::Clock& clock) { clock_ = &clock; }

private:
    std::mutex mutex_;
    struct Object {
        Bytes bytes;
        std::uint64_t modified_ns = 0;
    };
    std::map<std::string, Object> objects_;
    const env::Clock* clock_ = nullptr;
};

}  // namespace stillpoint::vault
