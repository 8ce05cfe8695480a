#include "vault/stored_chunks.hpp"

#include <algorithm>

#include "base/hex.hpp"
#include "vault/chunk_index.hpp"
#include "vault/marks.hpp"
#include "vault/object_names.hpp"
#include "vault/pack_reader.hpp"

namespace stillpoint::vault {

StoredChunks::StoredChunks(std::shared_ptr<VaultCore> core)
    : core_(std::move(core)),
      index_(std::make_unique<ChunkIndex>()),
      reader_(std::make_unique<PackReader>(*core_)) {}

StoredChunks::~StoredChunks() = default;

Result<std::unique_ptr<StoredChunks>> StoredChunks::open(std::shared_ptr<VaultCore> core) {
    std::unique_ptr<StoredChunks> chunks{new StoredChunks{std::move(core)}};  // NOLINT: private
    SP_TRY(chunks->refresh());
    return chunks;
}

Status StoredChunks::refresh() {
    const std::scoped_lock lock{refreshing_};
    SP_ASSIGN(const auto objects, core_->store.list(names::index));
    std::set<std::string> listed;
    for (const ObjectInfo& object : objects) listed.insert(object.name);
    // Segments that are gone were merged by gc; what they named may be gone too.
    if (!std::includes(listed.begin(), listed.end(), seen_.begin(), seen_.end())) {
        ChunkIndex fresh;
        SP_TRY(load_into(fresh, listed));
        index_->swap(fresh);
        reader_->forget_all();
    } else {
        std::set<std::string> added;
        std::set_difference(listed.begin(), listed.end(), seen_.begin(), seen_.end(),
                            std::inserter(added, added.end()));
        SP_TRY(load_into(*index_, added));
    }
    seen_ = std::move(listed);
    return honour_marks();
}

Status StoredChunks::load_into(ChunkIndex& index, const std::set<std::string>& segments) {
    for (const std::string& name : segments) {
        const auto segment = load_segment(*core_, name);
        if (segment) {
            SP_TRY(index.add(*segment));
        } else if (segment.error().code == Errc::corrupt) {
            damage_[name] = segment.error().text;
        } else if (segment.error().code != Errc::not_found) {  // gone since the listing: merged
            return fail(segment.error());
        }
    }
    return {};
}

Status StoredChunks::honour_marks() {
    SP_ASSIGN(const Marks marks, load_marks(*core_));
    for (const PackName& pack : marks.packs) index_->condemn(pack);
    for (const std::string& text : marks.damage) damage_[text] = text;
    return {};
}

Status StoredChunks::add_own(const std::string& name, const Segment& segment) {
    const std::scoped_lock lock{refreshing_};
    seen_.insert(name);
    return index_->add(segment);
}

Result<PutResult> StoredChunks::put(const chunk::ChunkId& id, ByteView, Content) {
    return fail(Errc::refused, "vault.read_only",
                "chunk " + to_hex(id.view()) + " was put outside of a run");
}

Result<ChunkPlace> StoredChunks::confirm(const chunk::ChunkId& id, const IndexHit& hit) {
    SP_ASSIGN(const auto listed, reader_->directory(hit.pack));
    if (hit.slot < listed->entries.size() && listed->entries[hit.slot].id == id) {
        return ChunkPlace{hit.pack, hit.slot, listed->entries[hit.slot]};
    }
    return fail(Errc::not_found, "vault.chunk_elsewhere", "another chunk with the same key");
}

Result<std::optional<ChunkPlace>> StoredChunks::known(const chunk::ChunkId& id) {
    for (const IndexHit& hit : index_->find(id)) {
        if (hit.condemned) continue;
        auto place = confirm(id, hit);
        if (place) return std::optional{*place};
        // What cannot be confirmed is stored again: a damaged pack is nothing to build on.
        if (place.error().code != Errc::not_found && place.error().code != Errc::corrupt) {
            return fail(place.error());
        }
    }
    return std::nullopt;
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

/// A gc may have moved what we look for since the index was loaded; then the segments changed.
bool StoredChunks::moved_meanwhile() {
    const auto objects = core_->store.list(names::index);
    if (!objects) return false;
    {
        const std::scoped_lock lock{refreshing_};
        const bool same = std::equal(
            objects->begin(), objects->end(), seen_.begin(), seen_.end(),
            [](const ObjectInfo& object, const std::string& name) { return object.name == name; });
        if (same) return false;
    }
    return refresh().has_value();
}

Result<ChunkPlace> StoredChunks::locate(const chunk::ChunkId& id) {
    auto place = locate_once(id);
    if (place || place.error().code != Errc::corrupt || !moved_meanwhile()) return place;
    return locate_once(id);
}

Result<ChunkPlace> StoredChunks::locate_once(const chunk::ChunkId& id) {
    std::optional<Error> worst;
    for (const IndexHit& hit : index_->find(id)) {
        auto place = confirm(id, hit);
        if (place) return place;
        remember_worse(worst, place.error());
    }
    return fail(missing_error(id, worst));
}

Result<Bytes> StoredChunks::read(const chunk::ChunkId& id, const ChunkPlace& place,
                                 Content content) {
    SP_ASSIGN(Bytes plaintext, reader_->record(place.pack, place.slot));
    if (content == Content::data && core_->keys.data_ids().id_of(plaintext) != id) {
        return fail(Errc::corrupt, "vault.chunk_damaged",
                    "chunk " + to_hex(id.view()) + " in " + place.pack.object() +
                        " is not what its id says");
    }
    return plaintext;
}

Result<Bytes> StoredChunks::get(const chunk::ChunkId& id, Content content) {
    auto bytes = get_once(id, content);
    if (bytes || bytes.error().code != Errc::corrupt || !moved_meanwhile()) return bytes;
    return get_once(id, content);
}

Result<Bytes> StoredChunks::get_once(const chunk::ChunkId& id, Content content) {
    std::optional<Error> worst;
    for (const IndexHit& hit : index_->find(id)) {
        const auto place = confirm(id, hit);
        auto bytes = place ? read(id, *place, content) : Result<Bytes>{fail(place.error())};
        if (bytes) return bytes;
        remember_worse(worst, bytes.error());
    }
    return fail(missing_error(id, worst));
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
std::vector<PackName> StoredChunks::packs() const {
    return index_->packs();
}

Result<std::shared_ptr<const PackDirectory>> StoredChunks::directory(const PackName& pack) {
    return reader_->directory(pack);
}

Result<Bytes> StoredChunks::payload(const PackName& pack, std::uint32_t slot) {
    return reader_->payload(pack, slot);
}

}  // namespace stillpoint::vault
