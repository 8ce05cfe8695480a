#include "vault/stored_chunks.hpp"

#include <algorithm>

#include "base/hex.hpp"
#include "env/workers.hpp"
#include "vault/map_delta.hpp"
#include "vault/marks.hpp"
#include "vault/object_names.hpp"
#include "vault/pack_reader.hpp"
#include "vault/record_cache.hpp"
#include "vault/segment_stream.hpp"
#include "vault/vault_index.hpp"

namespace stillpoint::vault {
namespace {

// About 3,500 nodes with fan-out 64: those that 1,200 scattered changes touch.
constexpr std::size_t map_records_bytes_max = 8u << 20;
// Of segments that only reading can ask a writer asks so many for each chunk: two pages of 20
// microseconds each, beside the 300 that a chunk takes anyway.
constexpr std::size_t unsure_segments_max = 4;

}  // namespace

StoredChunks::StoredChunks(std::shared_ptr<VaultCore> core)
    : core_(std::move(core)),
      index_(std::make_unique<VaultIndex>(*core_)),
      reader_(std::make_unique<PackReader>(*core_)),
      map_records_(std::make_unique<RecordCache>(map_records_bytes_max)) {}

StoredChunks::~StoredChunks() = default;

Result<std::unique_ptr<StoredChunks>> StoredChunks::open(std::shared_ptr<VaultCore> core) {
    std::unique_ptr<StoredChunks> chunks{new StoredChunks{std::move(core)}};  // NOLINT: private
    SP_TRY(chunks->refresh());
    return chunks;
}

Status StoredChunks::refresh() {
    const std::scoped_lock lock{refreshing_};
    // The marks first: a gc removes a mark when the index no longer names its packs. The other way
    // round a writer could have the index from before and find no mark any more.
    SP_ASSIGN(const Marks marks, load_marks(*core_));
    SP_ASSIGN(const auto objects, core_->store.list(names::index));
    std::set<std::string> listed;
    for (const ObjectInfo& object : objects) listed.insert(object.name);
    for (const std::string& text : marks.damage) damage_[text] = text;
    // Segments that are gone were merged by gc; what they named may be gone too.
    if (!std::includes(listed.begin(), listed.end(), seen_.begin(), seen_.end())) {
        const auto fresh = index_->successor();
        SP_TRY(load_into(*fresh, objects));
        for (const PackName& pack : marks.packs) fresh->condemn(pack);
        index_->swap(*fresh);
        reader_->forget_all();
    } else {
        std::vector<ObjectInfo> added;
        std::copy_if(objects.begin(), objects.end(), std::back_inserter(added),
                     [this](const ObjectInfo& object) { return !seen_.contains(object.name); });
        SP_TRY(load_into(*index_, std::move(added)));
        for (const PackName& pack : marks.packs) index_->condemn(pack);
    }
    seen_ = std::move(listed);
    ++generation_;
    return {};
}

Status StoredChunks::load_into(VaultIndex& index, std::vector<ObjectInfo> segments) {
    // The smallest first: most of them fit into memory then.
    std::sort(segments.begin(), segments.end(),
              [](const ObjectInfo& a, const ObjectInfo& b) { return a.size < b.size; });
    // So many at once where each takes a while.
    const std::size_t batch = core_->store.calls_at_once();
    for (std::size_t first = 0; first < segments.size(); first += batch) {
        const std::size_t count = std::min(batch, segments.size() - first);
        SP_TRY(load_into(index, std::span{segments}.subspan(first, count)));
    }
    return {};
}

Status StoredChunks::load_into(VaultIndex& index, std::span<const ObjectInfo> batch) {
    std::vector<VaultIndex::Fetched> fetched(batch.size());
    const std::uint64_t most = batch.back().size.raw();  // the largest comes last
    SP_TRY(env::each_at_once(batch.size(), batch.size(), {}, [&](std::size_t at) -> Status {
        fetched[at] = index.fetch(batch[at], at * most);
        return {};
    }));
    for (std::size_t at = 0; at < batch.size(); ++at) {
        const Status loaded = index.load(batch[at], std::move(fetched[at]));
        if (loaded) continue;
        if (loaded.error().code == Errc::corrupt) {
            damage_[batch[at].name] = loaded.error().text;
        } else if (loaded.error().code != Errc::not_found) {  // gone since the listing: merged
            return fail(loaded.error());
        }
    }
    return {};
}

Status StoredChunks::add_own(const std::string& name, const Segment& segment) {
    const std::scoped_lock lock{refreshing_};
    const Status added = index_->add_own(name, segment);
    // Merged by a gc since it was put: what it says is found at the next look around.
    if (!added && added.error().code != Errc::not_found) return added;
    seen_.insert(name);
    ++generation_;
    return {};
}

Status StoredChunks::prove_index(const env::CancelToken& cancel) {
    for (const std::string& name : index_->stored_segments()) {
        SP_TRY(cancel.check());
        const auto size = core_->store.size(name);
        const Status proven =
            size ? prove_segment(*core_, name, *size) : Status{fail(size.error())};
        if (proven || proven.error().code == Errc::not_found) continue;  // gone: gc merged it
        if (proven.error().code != Errc::corrupt) return proven;
        note_damage(proven.error());
    }
    return {};
}

void StoredChunks::note_damage(const Error& error) {
    const std::scoped_lock lock{refreshing_};
    damage_[error.text] = error.text;
}

Result<PutResult> StoredChunks::put(const chunk::ChunkId& id, ByteView, Content) {
    return fail(Errc::refused, "vault.read_only",
                "chunk " + to_hex(id.view()) + " was put outside of a run");
}

Result<ChunkPlace> StoredChunks::confirm(const chunk::ChunkId& id, const IndexHit& hit, Form form) {
    SP_ASSIGN(const auto listed, reader_->directory(hit.pack));
    if (hit.slot < listed->entries.size() && listed->entries[hit.slot].id == id) {
        const auto base = listed->base_of(hit.slot);
        if (!base || form == Form::any) {
            return ChunkPlace{hit.pack, hit.slot, listed->entries[hit.slot], base};
        }
    }
    return fail(Errc::not_found, "vault.chunk_elsewhere",
                "another chunk with the same key, or a delta");
}

/// Looks until it is not gc's doing that a look failed: it may have moved what we look for since
/// the index was loaded, and taken away segments that were only opened.
template <class T, class Look>
Result<T> StoredChunks::look_again(Look&& look) {
    constexpr unsigned looks_max = 3;  // that gc merges twice during a lookup is not to be expected
    for (unsigned looks = 1;; ++looks) {
        const std::uint64_t generation = generation_;
        auto found = look();
        if (found || looks == looks_max) return found;
        const Errc code = found.error().code;
        if (code != Errc::corrupt && code != Errc::not_found) return found;
        if (!moved_since(generation)) return found;
    }
}

bool StoredChunks::moved_since(std::uint64_t generation) {
    if (generation_ != generation) return true;  // another thread has looked already
    const auto objects = core_->store.list(names::index);
    if (!objects) return false;
    {
        const std::scoped_lock lock{refreshing_};
        const bool same = std::equal(
            objects->begin(), objects->end(), seen_.begin(), seen_.end(),
            [](const ObjectInfo& object, const std::string& name) { return object.name == name; });
        if (same) return generation_ != generation;
    }
    return refresh().has_value();
}

Result<std::optional<ChunkPlace>> StoredChunks::known(const chunk::ChunkId& id, Form form) {
    auto place = look_again<std::optional<ChunkPlace>>([&] { return known_once(id, form); });
    // Where gc merges faster than we look, the chunk is stored again: no harm but its bytes.
    if (!place && place.error().code == Errc::not_found) return std::nullopt;
    return place;
}

Result<std::optional<ChunkPlace>> StoredChunks::reliable(const chunk::ChunkId& id,
                                                         const std::vector<IndexHit>& hits,
                                                         Form form) {
    for (const IndexHit& hit : hits) {
        if (hit.condemned) continue;
        const auto place = confirm(id, hit, form);
        // What cannot be confirmed is stored again: a damaged pack is nothing to build on.
        if (!place && place.error().code != Errc::not_found &&
            place.error().code != Errc::corrupt) {
            return fail(place.error());
        }
        if (!place) continue;
        SP_ASSIGN(const bool there, is_there(hit.pack));
        if (!there) continue;
        if (!place->base) return std::optional{*place};
        // A delta that outlives its base is worth nothing: gc has to be known to keep that, too.
        SP_ASSIGN(const auto base, known_once(*place->base, Form::whole));
        if (base) return std::optional{*place};
    }
    return std::nullopt;
}

/// In an index that gc has merged one segment may have a chunk. One that outgrew its filters
/// without gc has hundreds, a page each: storing a chunk twice is cheaper than asking them all. Its
/// neighbours are found, once one of them was.
Result<std::optional<ChunkPlace>> StoredChunks::known_once(const chunk::ChunkId& id, Form form) {
    SP_ASSIGN(auto held, reliable(id, index_->find_held(id), form));
    if (held) return held;
    SP_ASSIGN(auto near, reliable(id, index_->find_near(id), form));
    if (near) return near;
    const IndexAnswer answer = index_->find_stored(id, unsure_segments_max);
    SP_ASSIGN(auto stored, reliable(id, answer.hits, form));
    if (stored || !answer.trouble) return stored;
    if (answer.trouble->code != Errc::corrupt) return fail(*answer.trouble);
    // Damage may hide the chunk: it is stored again, and check names the segment.
    note_damage(*answer.trouble);
    return std::nullopt;
}

Result<bool> StoredChunks::is_there(const PackName& pack) {
    {
        const std::scoped_lock lock{seeing_};
        if (seen_packs_.contains(pack)) return true;
    }
    // A list: the one question that no cache answers.
    SP_ASSIGN(const auto found, core_->store.list(pack.object()));
    if (found.empty()) return false;
    constexpr std::size_t seen_max = 1u << 16;  // 5 MiB
    const std::scoped_lock lock{seeing_};
    if (seen_packs_.size() >= seen_max) seen_packs_.clear();
    return seen_packs_.insert(pack).first != seen_packs_.end();
}

void StoredChunks::forget_seen_packs() {
    const std::scoped_lock lock{seeing_};
    seen_packs_.clear();
}

namespace {

/// Of several failed copies the one that says most: damage before absence.
void remember_worse(std::optional<Error>& worst, Error error) {
    if (error.id == "vault.chunk_elsewhere") return;
    if (!worst || worst->code != Errc::corrupt) worst = std::move(error);
}

Error missing_error(const chunk::ChunkId& id, const std::optional<Error>& worst) {
    if (worst) return *worst;
    return Error{Errc::corrupt, "vault.chunk_missing",
                 "chunk " + to_hex(id.view()) + " is in no pack that the index names",
                 "run: stillpoint vault check"};
}

}  // namespace

/// Offers the places where a chunk may be to `use` until it succeeds: those that cost no reading of
/// the index, what its neighbours' segment says, then the others, those of condemned packs last.
template <class T, class Use>
Result<T> StoredChunks::first_of(const chunk::ChunkId& id, Use&& use) {
    std::optional<Error> worst;
    std::vector<IndexHit> later;
    for (const IndexHit& hit : index_->find_held(id)) {
        if (hit.condemned) {
            later.push_back(hit);
            continue;
        }
        auto used = use(hit);
        if (used) return used;
        remember_worse(worst, used.error());
    }
    for (const IndexHit& hit : index_->find_near(id)) {
        if (hit.condemned) break;
        auto used = use(hit);
        if (used) return used;
        remember_worse(worst, used.error());
    }
    const IndexAnswer answer = index_->find_stored(id);
    const auto condemned = std::find_if(answer.hits.begin(), answer.hits.end(),
                                        [](const IndexHit& hit) { return hit.condemned; });
    later.insert(later.begin(), answer.hits.begin(), condemned);
    later.insert(later.end(), condemned, answer.hits.end());
    for (const IndexHit& hit : later) {
        auto used = use(hit);
        if (used) return used;
        remember_worse(worst, used.error());
    }
    // What could not be asked may have it: then absence is not proven, and is not claimed.
    return fail(answer.trouble ? *answer.trouble : missing_error(id, worst));
}

Result<ChunkPlace> StoredChunks::find_whole(const chunk::ChunkId& id) {
    return first_of<ChunkPlace>(id,
                                [&](const IndexHit& hit) { return confirm(id, hit, Form::whole); });
}

Result<ChunkPlace> StoredChunks::locate_whole(const chunk::ChunkId& id) {
    return look_again<ChunkPlace>([&] { return find_whole(id); });
}

Result<ChunkPlace> StoredChunks::locate(const chunk::ChunkId& id) {
    return look_again<ChunkPlace>([&] {
        return first_of<ChunkPlace>(id, [&](const IndexHit& hit) -> Result<ChunkPlace> {
            SP_ASSIGN(const ChunkPlace place, confirm(id, hit, Form::any));
            if (!place.base) return place;
            const auto base = find_whole(*place.base);
            if (!base) return fail(in_step("the base of a chunk", base.error()));
            return place;
        });
    });
}

/// A disk's blocks are asked for one behind the other. Nodes of maps are not, but they lie close
/// together: where a call takes a while, and no cache has them, they come together, too.
Next StoredChunks::next_after(Content content) const {
    const bool far = core_->store.calls_at_once() > 1 && !core_->store.is_cached();
    return content == Content::data || far ? Next::neighbours : Next::anything;
}

Result<Bytes> StoredChunks::read_delta(const ChunkPlace& place, Content content) {
    SP_ASSIGN(const auto base, read_whole(*place.base, content));
    SP_ASSIGN(const Bytes payload, reader_->payload(place.pack, place.slot, next_after(content)));
    if (content == Content::map) return undo_map_delta(payload, *place.base, *base);
    return core_->delta_codec.decompress(*base, payload, place.entry.plain_bytes);
}

/// Who reads a delta checks what comes out of it: what its base is need not be proven here.
Result<std::shared_ptr<const Bytes>> StoredChunks::read_whole(const chunk::ChunkId& id,
                                                              Content content) {
    if (auto kept = map_records_->find(id)) return kept;
    auto bytes = first_of<Bytes>(id, [&](const IndexHit& hit) -> Result<Bytes> {
        SP_ASSIGN(const ChunkPlace place, confirm(id, hit, Form::whole));
        return reader_->record(place.pack, place.slot, next_after(content));
    });
    if (!bytes) return fail(in_step("the base of a chunk", bytes.error()));
    auto record = std::make_shared<const Bytes>(std::move(*bytes));
    if (content == Content::map) map_records_->keep(id, record);
    return std::shared_ptr<const Bytes>{std::move(record)};
}

Result<std::optional<BaseRecord>> StoredChunks::base_after(const chunk::ChunkId& previous,
                                                           Content content) {
    SP_ASSIGN(auto place, known(previous));
    if (place && place->base) {
        SP_ASSIGN(place, known(*place->base, Form::whole));
    }
    if (!place) return std::nullopt;
    const chunk::ChunkId id = place->entry.id;
    const auto plaintext =
        look_again<std::shared_ptr<const Bytes>>([&] { return read_whole(id, content); });
    if (plaintext) {
        // Built on what its id does not say, a delta would be lost once the base is put right.
        const bool right =
            content == Content::map || core_->keys.data_ids().id_of(**plaintext) == id;
        if (!right) return std::nullopt;
        return BaseRecord{id, *plaintext, place->entry.stored_bytes};
    }
    if (plaintext.error().code == Errc::corrupt) return std::nullopt;  // nothing to build on
    return fail(plaintext.error());
}

Result<Bytes> StoredChunks::read(const chunk::ChunkId& id, const ChunkPlace& place,
                                 Content content) {
    SP_ASSIGN(Bytes plaintext, place.base
                                   ? read_delta(place, content)
                                   : reader_->record(place.pack, place.slot, next_after(content)));
    if (content == Content::data && core_->keys.data_ids().id_of(plaintext) != id) {
        return fail(Errc::corrupt, "vault.chunk_damaged",
                    "chunk " + to_hex(id.view()) + " in " + place.pack.object() +
                        " is not what its id says");
    }
    if (content == Content::map && !place.base) {
        map_records_->keep(id, std::make_shared<const Bytes>(plaintext));
    }
    return plaintext;
}

Result<Bytes> StoredChunks::get(const chunk::ChunkId& id, Content content) {
    return look_again<Bytes>([&] {
        return first_of<Bytes>(id, [&](const IndexHit& hit) -> Result<Bytes> {
            SP_ASSIGN(const ChunkPlace place, confirm(id, hit, Form::any));
            return read(id, place, content);
        });
    });
}

std::vector<std::string> StoredChunks::index_damage() const {
    const std::scoped_lock lock{refreshing_};
    std::vector<std::string> texts;
    for (const auto& [name, text] : damage_) texts.push_back(text);
    return texts;
}

std::uint64_t StoredChunks::chunk_count() const {
    return index_->entries();
}

Result<std::vector<PackName>> StoredChunks::packs() {
    return look_again<std::vector<PackName>>([&] { return index_->packs(); });
}

Result<std::shared_ptr<const PackDirectory>> StoredChunks::directory(const PackName& pack) {
    return reader_->directory(pack);
}

Result<Bytes> StoredChunks::payload(const PackName& pack, std::uint32_t slot) {
    return reader_->payload(pack, slot, Next::neighbours);
}

}  // namespace stillpoint::vault
