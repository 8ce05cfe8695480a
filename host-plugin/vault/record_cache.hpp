#pragma once
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/bytes.hpp"
#include "chunk/chunk_id.hpp"

namespace stillpoint::vault {

/// Plaintexts of records that were read lately and are no deltas: what a delta builds on is asked
/// for once by who reads the parent's map and again by who writes the next one.
/// @threads any, concurrently
class RecordCache {
public:
    using Record = std::shared_ptr<const Bytes>;

    /// @param bytes_max bound on plaintexts and what is around them; at least one is kept
    explicit RecordCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}

    /// @return null: not there
    [[nodiscard]] Record find(const chunk::ChunkId& id);
    void keep(const chunk::ChunkId& id, Record record);

private:
    struct Kept {
        chunk::ChunkId id;
        Record record;
    };
    static std::size_t weight_of(const Record& record) { return record->size() + 200; }

    const std::size_t bytes_max_;
    std::mutex mutex_;  // guards what follows
    std::list<Kept> newest_first_;
    std::unordered_map<chunk::ChunkId, std::list<Kept>::iterator, chunk::ChunkIdHash> records_;
    std::size_t bytes_ = 0;
};

}  // namespace stillpoint::vault
