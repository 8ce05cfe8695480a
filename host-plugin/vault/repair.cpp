#include "vault/repair.hpp"

#include <map>
#include <mutex>
#include <set>

#include "vault/each_pack.hpp"
#include "vault/gc/claim.hpp"
#include "vault/gc/index_merge.hpp"
#include "vault/gc/live_runs.hpp"
#include "vault/object_names.hpp"
#include "vault/opened_vault.hpp"
#include "vault/pack_check.hpp"
#include "vault/point_copies.hpp"
#include "vault/point_record.hpp"
#include "vault/sealed_object.hpp"
#include "vault/segment_stream.hpp"

namespace stillpoint::vault {
namespace {

/// The packs that a segment names; every page of it was read and proven.
Result<std::vector<PackName>> packs_of(const VaultCore& core, const ObjectInfo& segment) {
    SP_ASSIGN(auto stream, SegmentStream::open(core, segment.name, segment.size));
    std::vector<PackName> packs;
    while (true) {
        SP_ASSIGN(const auto pack, stream.next_pack());
        if (!pack) break;
        packs.push_back(pack->name);
    }
    while (true) {
        SP_ASSIGN(const auto entry, stream.next_entry());
        if (!entry) return packs;
    }
}

class Repairer {
public:
    Repairer(std::shared_ptr<VaultCore> core, const RepairOptions& options,
             const ProgressFn& progress, const env::CancelToken& cancel)
        : core_(std::move(core)), options_(options), progress_(progress), cancel_(cancel) {}

    Result<RepairResult> run();

private:
    Status read_segments();
    Status index_packs();
    Status index_pack(const PackName& name);
    /// Slots of the records that are damaged.
    using Broken = std::set<std::uint32_t>;
    Status empty_damaged_packs();
    Result<std::map<PackName, Broken>> find_damaged_packs();
    Status empty(const PackName& name, const Broken& broken);
    Status bring_back(const PointId& id);
    Status look_at(const PointId& id);
    Status rewrite(const PointId& id, const Error& damage);
    Status ensure_copy(const PointId& id, ByteView content);
    Status put_point(const PointId& id, ByteView content);
    [[nodiscard]] bool changes() const { return options_.mode == RepairMode::repair; }
    Status alive() {
        SP_TRY(cancel_.check());
        return run_ ? run_->lease().alive() : Status{};
    }

    std::shared_ptr<VaultCore> core_;
    RepairOptions options_;
    const ProgressFn& progress_;
    const env::CancelToken& cancel_;
    std::unique_ptr<StoredChunks> chunks_;
    std::unique_ptr<ChunkRun> run_;      // null where nothing is to be changed
    std::vector<PackName> packs_;        // in the store
    std::uint64_t largest_bytes_ = 0;    // of them
    std::set<PackName> named_;           // by segments that can be read
    std::vector<std::string> segments_;  // that cannot
    RepairResult result_;
};

/// Reads every segment whole: which packs does the index name, and which segments are damaged?
Status Repairer::read_segments() {
    SP_ASSIGN(const auto objects, core_->store.list(names::index));
    for (const ObjectInfo& object : objects) {
        SP_TRY(alive());
        const auto packs = packs_of(*core_, object);
        if (packs) {
            named_.insert(packs->begin(), packs->end());
        } else if (packs.error().code == Errc::corrupt) {
            segments_.push_back(object.name);
        } else if (packs.error().code != Errc::not_found) {
            return fail(packs.error());
        }
    }
    result_.damaged_segments = segments_.size();
    return {};
}

/// Every pack says itself what it holds. Those of a backup that is running are named twice in the
/// end, which does no harm.
Status Repairer::index_packs() {
    std::uint64_t done = 0;
    for (const PackName& name : packs_) {
        SP_TRY(alive());
        if (progress_) progress_(done++, packs_.size());
        if (!named_.contains(name)) SP_TRY(index_pack(name));
    }
    const std::set<PackName> there{packs_.begin(), packs_.end()};
    for (const PackName& name : named_) {
        if (!there.contains(name)) result_.unreadable.push_back(name.object() + " is missing");
    }
    if (!changes()) return {};
    SP_TRY(run_->flush());
    // What they named is named anew by now.
    for (const std::string& name : segments_) {
        SP_TRY(alive());
        SP_TRY(core_->store.remove(name));
    }
    return {};
}

Status Repairer::index_pack(const PackName& name) {
    const auto directory = chunks_->directory(name);
    if (!directory && directory.error().code != Errc::corrupt) return fail(directory.error());
    if (!directory) {
        result_.unreadable.push_back(directory.error().text);
        return {};
    }
    ++result_.indexed_packs;
    result_.indexed_chunks += (*directory)->entries.size();
    return changes() ? run_->adopt({name, **directory}) : Status{};
}

/// What is whole of a damaged pack moves to another; then the index forgets the pack. The object
/// stays: it is gc's.
Status Repairer::empty_damaged_packs() {
    SP_ASSIGN(const auto damaged, find_damaged_packs());
    result_.emptied_packs = damaged.size();
    std::set<PackName> emptied;
    for (const auto& [name, broken] : damaged) {
        result_.lost_chunks += broken.size();
        if (changes()) SP_TRY(empty(name, broken));
        emptied.insert(name);
    }
    if (!changes() || emptied.empty()) return {};
    SP_TRY(run_->flush());
    SP_TRY(alive());
    return gc::rewrite_index(*core_, emptied);
}

/// Reads all packs, some side by side. Those of which nothing can be read are left out.
Result<std::map<PackName, Repairer::Broken>> Repairer::find_damaged_packs() {
    std::mutex mutex;  // guards what follows, and what the progress callback touches
    std::map<PackName, Broken> damaged;
    std::uint64_t done = 0;
    const auto read = [&](const PackName& name, PackMemory& memory) -> Status {
        SP_ASSIGN(const PackVerdict verdict, verify_pack(*core_, name, memory));
        const std::scoped_lock lock{mutex};
        SP_TRY(alive());
        if (progress_) progress_(done++, packs_.size());
        if (verdict.whole() || !verdict.directory_readable) return {};
        Broken& broken = damaged[name];
        for (const DamagedRecord& record : verdict.records) broken.insert(record.slot);
        return {};
    };
    SP_TRY(for_each_pack(packs_, largest_bytes_, cancel_, read));
    return damaged;
}

Status Repairer::empty(const PackName& name, const Broken& broken) {
    SP_ASSIGN(const auto directory, chunks_->directory(name));
    for (std::uint32_t slot = 0; slot < directory->entries.size(); ++slot) {
        if (broken.contains(slot)) continue;
        SP_TRY(alive());
        SP_ASSIGN(const Bytes payload, chunks_->payload(name, slot));
        SP_TRY(run_->copy(*directory, slot, payload));
    }
    return {};
}

Status Repairer::put_point(const PointId& id, ByteView content) {
    const auto put = put_object(*core_, ObjectKind::point, point_object(id), content);
    if (put || put.error().id == "store.exists") return {};
    return fail(put.error());
}

Status Repairer::bring_back(const PointId& id) {
    const auto content = load_copy_content(*core_, id);
    if (!content && content.error().code == Errc::not_found) return {};  // forgotten meanwhile
    if (!content && content.error().code != Errc::corrupt) return fail(content.error());
    if (!content) {
        result_.unreadable.push_back("the recovery point is gone: " + content.error().text);
        return {};
    }
    result_.recovered.push_back(id);
    if (!changes()) return {};
    SP_TRY(mark_recovered(*core_, id));  // first: it never passes for one that was there all along
    return put_point(id, *content);
}

Status Repairer::look_at(const PointId& id) {
    const auto content = get_object(*core_, ObjectKind::point, point_object(id));
    const auto point = content ? decode_point(*content) : Result<Point>{fail(content.error())};
    if (point && point->id == id) return ensure_copy(id, *content);
    if (point) return rewrite(id, {Errc::corrupt, "point.damaged", "it holds another point", {}});
    if (point.error().code == Errc::not_found) return {};  // forgotten meanwhile, or a fence
    if (point.error().code != Errc::corrupt) return fail(point.error());
    return rewrite(id, point.error());
}

/// A damaged point is written anew from its copy.
Status Repairer::rewrite(const PointId& id, const Error& damage) {
    const auto content = load_copy_content(*core_, id);
    if (!content && content.error().code != Errc::corrupt &&
        content.error().code != Errc::not_found) {
        return fail(content.error());
    }
    if (!content) {
        result_.unreadable.push_back("recovery point " + id + ": " + damage.text);
        return {};
    }
    result_.rewritten.push_back(id);
    if (!changes()) return {};
    // Killed in between, it is a lost point, and the next repair brings it back.
    SP_TRY(core_->store.remove(point_object(id)));
    return put_point(id, *content);
}

Status Repairer::ensure_copy(const PointId& id, ByteView content) {
    const auto copy = load_copy_content(*core_, id);
    if (copy) return {};
    const bool damaged = copy.error().code == Errc::corrupt;
    if (!damaged && copy.error().code != Errc::not_found) return fail(copy.error());
    ++result_.copied;
    if (!changes()) return {};
    if (damaged) SP_TRY(remove_copy(*core_, id));
    return put_copy(*core_, id, content);
}

Result<RepairResult> Repairer::run() {
    SP_ASSIGN(chunks_, StoredChunks::open(core_));
    if (changes()) {
        SP_ASSIGN(run_, gc::claim_alone(*chunks_, gc::new_gc_id(core_->clock)));
    }
    SP_TRY(read_segments());
    SP_ASSIGN(PackListing listing, list_packs(core_->store));
    packs_ = std::move(listing.packs);
    largest_bytes_ = listing.largest_bytes;
    SP_TRY(index_packs());
    if (options_.read_data) SP_TRY(empty_damaged_packs());
    SP_ASSIGN(const auto lost, lost_points(*core_));
    for (const PointId& id : lost) {
        SP_TRY(alive());
        SP_TRY(bring_back(id));
    }
    SP_ASSIGN(const PointListing points, list_points(core_->store));
    for (const PointId& id : points.ids) {
        SP_TRY(alive());
        SP_TRY(look_at(id));
    }
    if (run_) run_->end();
    return std::move(result_);
}

}  // namespace

Result<RepairResult> repair_vault(std::shared_ptr<VaultCore> core, const RepairOptions& options,
                                  const ProgressFn& progress, const env::CancelToken& cancel) {
    return Repairer{std::move(core), options, progress, cancel}.run();
}

}  // namespace stillpoint::vault
