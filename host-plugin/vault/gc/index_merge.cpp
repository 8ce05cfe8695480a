#include "vault/gc/index_merge.hpp"

#include <algorithm>
#include <map>

#include "vault/object_names.hpp"
#include "vault/segment_stream.hpp"

namespace stillpoint::vault::gc {
namespace {

constexpr std::uint32_t no_pack = 0xffffffff;
constexpr std::uint64_t read_pages_total = 4096;  // 16 MiB of all segments that are read at once

std::uint64_t segments_for(std::uint64_t entries, const MergeOptions& options) {
    const std::uint64_t wanted = entries / options.entries_wanted + 1;
    return std::min(wanted, options.segments_max);
}

/// Several segments as one: sorted, read once from beginning to end, packs numbered anew.
class Merged {
public:
    explicit Merged(const std::set<PackName>& dropped) : dropped_(dropped) {}

    Status add(const VaultCore& core, const ObjectInfo& object, std::uint64_t pages_per_read) {
        SP_ASSIGN(auto stream, SegmentStream::open(core, object.name, object.size, pages_per_read));
        Input input{std::move(stream), {}, {}};
        for (;;) {
            SP_ASSIGN(const auto pack, input.stream.next_pack());
            if (!pack) break;
            input.numbers.push_back(number_of(*pack));
        }
        entries_ += input.stream.shape().entries;
        SP_TRY(advance(input));
        inputs_.push_back(std::move(input));
        return {};
    }
    [[nodiscard]] bool dropped_any() const { return dropped_any_; }
    [[nodiscard]] std::uint64_t entries() const { return entries_; }
    /// All entries that are left and whose first 32 bits are less than `end`.
    Result<Segment> take_until(std::uint64_t end, std::uint64_t about) {
        Segment segment;
        segment.entries.reserve(about);
        for (Input& input : inputs_) SP_TRY(take_from(input, end, segment.entries));
        std::sort(segment.entries.begin(), segment.entries.end());
        segment.entries.erase(std::unique(segment.entries.begin(), segment.entries.end()),
                              segment.entries.end());
        name_packs(segment);
        return segment;
    }

private:
    struct Input {
        SegmentStream stream;
        std::vector<std::uint32_t> numbers;  // of its packs, here
        std::optional<SegmentEntry> next;
    };
    std::uint32_t number_of(const SegmentPack& pack) {
        if (dropped_.contains(pack.name)) {
            dropped_any_ = true;
            return no_pack;
        }
        const auto next = static_cast<std::uint32_t>(packs_.size());
        const auto [at, added] = numbers_.emplace(pack.name, next);
        if (added) packs_.push_back(pack);
        return at->second;
    }
    static Status advance(Input& input) {
        SP_ASSIGN(input.next, input.stream.next_entry());
        return {};
    }
    static Status take_from(Input& input, std::uint64_t end, std::vector<SegmentEntry>& into) {
        while (input.next && prefix_of(input.next->key, 32) < end) {
            SegmentEntry entry = *input.next;
            entry.pack = input.numbers[entry.pack];
            if (entry.pack != no_pack) into.push_back(entry);
            SP_TRY(advance(input));
        }
        return {};
    }
    /// The segment's own pack table: those that it needs, in the same order.
    void name_packs(Segment& segment) const {
        std::vector<std::uint32_t> own(packs_.size(), no_pack);
        for (const SegmentEntry& entry : segment.entries) own[entry.pack] = 0;
        for (std::size_t i = 0; i < own.size(); ++i) {
            if (own[i] == no_pack) continue;
            own[i] = static_cast<std::uint32_t>(segment.packs.size());
            segment.packs.push_back(packs_[i]);
        }
        for (SegmentEntry& entry : segment.entries) entry.pack = own[entry.pack];
    }

    const std::set<PackName>& dropped_;
    std::vector<Input> inputs_;
    std::vector<SegmentPack> packs_;
    std::map<PackName, std::uint32_t> numbers_;
    std::uint64_t entries_ = 0;
    bool dropped_any_ = false;
};

Status write_merged(const VaultCore& core, Merged& merged, std::uint64_t count) {
    const std::uint64_t about = merged.entries() / count;
    for (std::uint64_t at = 1; at <= count; ++at) {
        // Keys are random: equal ranges of them have about equal numbers of entries.
        const std::uint64_t end = (at << 32) / count;
        SP_ASSIGN(Segment segment, merged.take_until(end, about + about / 16));
        if (segment.entries.empty()) continue;
        const std::string name = new_segment_name(core.random);
        SP_TRY(core.store.put(name, encode_segment(core, name, std::move(segment))));
    }
    return {};
}

Status merge(const VaultCore& core, const std::vector<ObjectInfo>& objects,
             const std::set<PackName>& dropped, const MergeOptions& options) {
    Merged merged{dropped};
    const std::uint64_t pages = read_pages_total / std::max<std::size_t>(objects.size(), 1);
    for (const ObjectInfo& object : objects) {
        SP_TRY(
            merged.add(core, object,
                       std::clamp<std::uint64_t>(pages, 1, SegmentStream::pages_per_read_default)));
    }
    const std::uint64_t count = segments_for(merged.entries(), options);
    if (objects.size() <= count && !merged.dropped_any()) return {};
    SP_TRY(write_merged(core, merged, count));
    for (const ObjectInfo& object : objects) SP_TRY(core.store.remove(object.name));
    return {};
}

}  // namespace

Status rewrite_index(const VaultCore& core, const std::set<PackName>& dropped,
                     const MergeOptions& options) {
    SP_ASSIGN(const auto objects, core.store.list(names::index));
    return merge(core, objects, dropped, options);
}

Status tidy_index(const VaultCore& core, const MergeOptions& options) {
    SP_ASSIGN(auto objects, core.store.list(names::index));
    std::uint64_t entries = 0;  // nearly: packs are counted as if they were entries, too
    for (const ObjectInfo& object : objects) entries += object.size.raw() / sizeof(SegmentEntry);
    if (objects.size() > segments_for(entries, options) + 2 * options.small_max) {
        return merge(core, objects, {}, options);
    }
    const std::uint64_t small_bytes = options.entries_wanted / 2 * sizeof(SegmentEntry);
    std::erase_if(objects,
                  [&](const ObjectInfo& object) { return object.size.raw() > small_bytes; });
    if (objects.size() <= options.small_max) return {};
    return merge(core, objects, {}, options);
}

}  // namespace stillpoint::vault::gc
