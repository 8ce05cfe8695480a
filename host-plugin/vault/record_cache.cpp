#include "vault/record_cache.hpp"

namespace stillpoint::vault {

RecordCache::Record RecordCache::find(const chunk::ChunkId& id) {
    const std::scoped_lock lock{mutex_};
    const auto found = records_.find(id);
    if (found == records_.end()) return nullptr;
    newest_first_.splice(newest_first_.begin(), newest_first_, found->second);
    return found->second->record;
}

void RecordCache::keep(const chunk::ChunkId& id, Record record) {
    const std::scoped_lock lock{mutex_};
    if (records_.contains(id)) return;
    bytes_ += weight_of(record);
    newest_first_.push_front({id, std::move(record)});
    records_.emplace(id, newest_first_.begin());
    while (bytes_ > bytes_max_ && newest_first_.size() > 1) {
        bytes_ -= weight_of(newest_first_.back().record);
        records_.erase(newest_first_.back().id);
        newest_first_.pop_back();
    }
}

}  // namespace stillpoint::vault
