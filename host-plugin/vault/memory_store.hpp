#pragma once
#include <map>
#include <mutex>

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

private:
    std::mutex mutex_;
    std::map<std::string, Bytes> objects_;
};

}  // namespace stillpoint::vault
