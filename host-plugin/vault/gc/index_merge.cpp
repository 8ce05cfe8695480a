#include "vault/gc/index_merge.hpp"

#include <algorithm>
#include <map>

#include "vault/object_names.hpp"

namespace stillpoint::vault::gc {
namespace {

constexpr std::uint32_t no_pack = 0xffffffff;

/// Gathers segments; a pack that several of them name is there once.
class Merged {
public:
    explicit Merged(const std::set<PackName>& dropped) : dropped_(dropped) {}

    void add(const Segment& segment) {
        std::vector<std::uint32_t> positions;
        positions.reserve(segment.packs.size());
        for (const SegmentPack& pack : segment.packs) positions.push_back(place(pack));
        for (SegmentEntry entry : segment.entries) {
            entry.pack = positions[entry.pack];
            if (entry.pack != no_pack) result_.entries.push_back(entry);
        }
    }
    [[nodiscard]] bool dropped_any() const { return dropped_any_; }
    Segment take() {
        auto& entries = result_.entries;
        std::sort(entries.begin(), entries.end());
        entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
        return std::move(result_);
    }

private:
    std::uint32_t place(const SegmentPack& pack) {
        if (dropped_.contains(pack.name)) {
            dropped_any_ = true;
            return no_pack;
        }
        const auto next = static_cast<std::uint32_t>(result_.packs.size());
        const auto [at, added] = positions_.emplace(pack.name, next);
        if (added) result_.packs.push_back(pack);
        return at->second;
    }
    const std::set<PackName>& dropped_;
    Segment result_;
    std::map<PackName, std::uint32_t> positions_;
    bool dropped_any_ = false;
};

}  // namespace

Status rewrite_index(const VaultCore& core, const std::set<PackName>& dropped) {
    SP_ASSIGN(const auto objects, core.store.list(names::index));
    Merged merged{dropped};
    for (const ObjectInfo& object : objects) {
        SP_ASSIGN(const Segment segment, load_segment(core, object.name));
        merged.add(segment);
    }
    if (objects.size() <= 1 && !merged.dropped_any()) return {};
    const Segment segment = merged.take();
    if (!segment.entries.empty()) {
        const std::string name = new_segment_name(core.random);
        SP_TRY(core.store.put(name, encode_segment(core, name, segment)));
    }
    for (const ObjectInfo& object : objects) SP_TRY(core.store.remove(object.name));
    return {};
}

}  // namespace stillpoint::vault::gc
