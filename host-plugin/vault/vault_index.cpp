#include "vault/vault_index.hpp"

#include <algorithm>

namespace stillpoint::vault {
namespace {

// A pack's name, the tree node that finds its number, the name again.
constexpr std::uint64_t held_pack_bytes = 128;

std::uint64_t weight_of(const Segment& segment) {
    return segment.entries.size() * sizeof(SegmentEntry) + segment.packs.size() * held_pack_bytes;
}

/// Adds the packs of a segment to a sorted list.
Status merge_packs(const SegmentReader& segment, std::vector<PackName>& all) {
    const auto middle = static_cast<std::ptrdiff_t>(all.size());
    SP_TRY(segment.for_packs([&](const SegmentPack& pack) {
        if (!std::binary_search(all.begin(), all.begin() + middle, pack.name)) {
            all.push_back(pack.name);
        }
    }));
    std::sort(all.begin() + middle, all.end());
    std::inplace_merge(all.begin(), all.begin() + middle, all.end());
    return {};
}

}  // namespace

VaultIndex::VaultIndex(const VaultCore& core)
    : VaultIndex(core, std::make_shared<IndexMemory>(core.index_limits),
                 std::make_shared<const Readers>()) {}

VaultIndex::VaultIndex(const VaultCore& core, std::shared_ptr<IndexMemory> memory,
                       std::shared_ptr<const Readers> known)
    : core_(core), memory_(std::move(memory)), known_(std::move(known)) {}

std::unique_ptr<VaultIndex> VaultIndex::successor() const {
    auto known = readers();
    return std::unique_ptr<VaultIndex>{new VaultIndex{core_, memory_, known}};  // NOLINT: private
}

void VaultIndex::swap(VaultIndex& fresh) {
    held_.swap(fresh.held_);
    std::swap(held_bytes_, fresh.held_bytes_);
    const std::scoped_lock lock{mutex_};
    std::swap(readers_, fresh.readers_);
}

std::shared_ptr<const VaultIndex::Readers> VaultIndex::readers() const {
    const std::scoped_lock lock{mutex_};
    return readers_;
}

void VaultIndex::add_reader(std::shared_ptr<SegmentReader> reader) {
    const std::scoped_lock lock{mutex_};
    auto more = std::make_shared<Readers>(*readers_);
    more->push_back(std::move(reader));
    readers_ = std::move(more);
}

bool VaultIndex::has_room(std::uint64_t bytes) const {
    return held_bytes_ + bytes <= core_.index_limits.held_bytes_max;
}

void VaultIndex::hold(const Segment& segment) {
    held_.add(segment);
    held_bytes_ += weight_of(segment);
}

std::shared_ptr<SegmentReader> VaultIndex::known_reader(const std::string& name) const {
    const auto known = std::find_if(known_->begin(), known_->end(),
                                    [&](const auto& reader) { return reader->name() == name; });
    return known == known_->end() ? nullptr : *known;
}

VaultIndex::Fetched VaultIndex::fetch(const ObjectInfo& segment, std::uint64_t before_bytes) const {
    const std::uint64_t bytes = before_bytes + segment.size.raw();
    if (known_reader(segment.name) || !has_room(bytes)) return std::nullopt;
    return load_segment(core_, segment.name, segment.size);
}

Status VaultIndex::load(const ObjectInfo& segment, Fetched fetched) {
    if (auto known = known_reader(segment.name)) {
        add_reader(std::move(known));
        return {};
    }
    // Its length is nearly what it takes in memory; what it takes is known, and counted,
    // afterwards.
    if (has_room(segment.size.raw())) {
        if (!fetched) fetched = load_segment(core_, segment.name, segment.size);
        if (!*fetched) return fail(fetched->error());
        hold(**fetched);
        return {};
    }
    SP_ASSIGN(auto reader, SegmentReader::open(core_, segment.name, segment.size, memory_));
    add_reader(std::move(reader));
    return {};
}

Status VaultIndex::add_own(const std::string& name, const Segment& segment) {
    if (has_room(weight_of(segment))) {
        hold(segment);
        return {};
    }
    SP_ASSIGN(const ByteCount size, core_.store.size(name));
    SP_ASSIGN(auto reader, SegmentReader::open(core_, name, size, memory_));
    reader->filter_from(segment.entries);
    add_reader(std::move(reader));
    return {};
}

void VaultIndex::ask(const Readers& segments, std::size_t at, const IndexKey& key,
                     IndexAnswer& answer) const {
    const std::size_t before = answer.hits.size();
    const Status asked = segments[at]->find(key, answer.hits);
    if (!asked && !answer.trouble) answer.trouble = asked.error();
    if (answer.hits.size() > before) near_ = at;
}

void VaultIndex::mark_condemned(std::vector<IndexHit>& hits) const {
    for (IndexHit& hit : hits) hit.condemned = held_.is_condemned(hit.pack);
    std::stable_partition(hits.begin(), hits.end(),
                          [](const IndexHit& hit) { return !hit.condemned; });
}

std::vector<IndexHit> VaultIndex::find_near(const chunk::ChunkId& id) const {
    IndexAnswer answer;
    const auto segments = readers();
    const std::size_t near = near_;
    if (near < segments->size()) ask(*segments, near, index_key(id), answer);
    mark_condemned(answer.hits);
    return std::move(answer.hits);
}

IndexAnswer VaultIndex::find_stored(const chunk::ChunkId& id, std::size_t unsure_max) const {
    IndexAnswer answer;
    const IndexKey key = index_key(id);
    const auto segments = readers();
    std::vector<std::size_t> unsure;
    for (std::size_t at = 0; at < segments->size(); ++at) {
        const SegmentReader& segment = *(*segments)[at];
        if (segment.has_filter()) {
            ask(*segments, at, key, answer);
        } else if (segment.may_hold(key)) {
            unsure.push_back(at);
        }
    }
    const std::size_t asked = std::min(unsure.size(), unsure_max);
    // Those behind the last one that was asked, so that each has its turn.
    const auto begin = std::lower_bound(unsure.begin(), unsure.end(), turn_.load());
    const auto first = asked < unsure.size() ? begin - unsure.begin() : 0;
    for (std::size_t i = 0; i < asked; ++i) {
        const std::size_t at = unsure[(static_cast<std::size_t>(first) + i) % unsure.size()];
        ask(*segments, at, key, answer);
        turn_ = at + 1;
    }
    mark_condemned(answer.hits);
    return answer;
}

std::uint64_t VaultIndex::entries() const {
    std::uint64_t entries = held_.entries();
    const auto segments = readers();
    for (const auto& segment : *segments) entries += segment->entries();
    return entries;
}

Result<std::vector<PackName>> VaultIndex::packs() const {
    std::vector<PackName> all = held_.packs();
    const auto segments = readers();
    // One segment at a time: those of one merge name nearly the same packs.
    for (const auto& segment : *segments) SP_TRY(merge_packs(*segment, all));
    return all;
}

std::vector<std::string> VaultIndex::stored_segments() const {
    std::vector<std::string> names;
    const auto segments = readers();
    for (const auto& segment : *segments) names.push_back(segment->name());
    return names;
}

}  // namespace stillpoint::vault
